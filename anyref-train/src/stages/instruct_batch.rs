//! Batches of pictures and questions in the form of the model's inputs.

use anyref_audio::AudioFeatures;
use anyref_core::{Layout, ObjectState};
use anyref_data::scenes::{Instruction, Kind, Scene};
use anyref_vision::preprocess::PixelValues;
use anyref_vision::roi_align::RegionBox;
use rayon::prelude::*;

use super::answer_tokens::InstructionTokens;
use super::context::StageContext;
use super::example::{Asked, Example, ExampleTarget};
use super::reference_inputs::{ReferenceInputs, ReferencePlace, TokenRegion};
use super::regions::Regions;
use super::scene_context::SceneContext;
use super::scene_questions::asked;
use crate::stage_error::StageError;

/// Batch of questions about several pictures.
#[derive(Debug)]
pub struct InstructBatch {
    /// Inputs of the tower for the squares of all pictures: one each for CLIP, tiles for
    /// InternViT.
    pub tower: Vec<PixelValues>,
    /// Number of squares of each picture.
    pub squares: Vec<usize>,
    /// Input of SAM or SAM 2 for each picture.
    pub sam: Vec<PixelValues>,
    /// Input of CLIP for each reference picture.
    pub images: Vec<PixelValues>,
    /// Boxes as shares of their picture; `batch` is the index of the picture.
    pub boxes: Vec<RegionBox>,
    /// Sounds.
    pub sounds: Vec<AudioFeatures>,
    /// Regions of models that read them as tokens of their pictures.
    pub token_regions: Vec<TokenRegion>,
    /// Objects of scenes, by name; `None` for other pictures.
    pub(super) regions: Option<Regions>,
    /// Index of the name of the object in each reference, in the order of the reference bank;
    /// `None` if the instruction does not say.
    pub(super) reference_names: Vec<Option<usize>>,
    /// Sequence up to the end of each picture, equal for pictures of as many squares.
    pub prefixes: Vec<Layout>,
    /// Questions with their answers, picture by picture.
    pub rows: Vec<Layout>,
    /// Index of the picture of each row, ascending.
    pub pictures: Vec<usize>,
    /// Kind of each row.
    pub kinds: Vec<Kind>,
    /// Tokens of answers that have a loss.
    pub predicted: Vec<PredictedToken>,
    /// Positions of all `<obj>`.
    pub objects: Vec<ObjectTarget>,
    /// Positions at which answers about absent objects would have had an `<obj>`.
    pub absent: Vec<ObjectTarget>,
    /// Index of the name of every `<obj>`, 0 if it has none.
    pub(super) object_names: Vec<usize>,
    /// Indices of the `<obj>` that point at every object of their name.
    pub(super) all_of_name: Vec<usize>,
    /// Masks of every `<obj>`, `[objects, size, size]`.
    pub masks: Vec<f32>,
    /// Side of a mask.
    pub mask_size: usize,
}

/// Token of an answer, and the state that predicts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PredictedToken {
    /// Row of the question.
    pub row: usize,
    /// Position of the state in the row, counted from the end of the picture.
    pub position: usize,
    /// Id of the token.
    pub token: usize,
}

/// `<obj>` of an answer; positions count from the end of the picture.
#[derive(Debug, Clone, Copy)]
pub struct ObjectTarget {
    /// Row of the question.
    pub row: usize,
    /// Position of the state that prompts the mask decoder: the one that predicts it, or its own.
    pub position: usize,
    /// Position of the first state of its span.
    pub start: usize,
}

/// Question and its answer, before all references of the batch are counted.
struct Row {
    tokens: InstructionTokens,
    /// References that the question marks.
    references: Vec<ReferencePlace>,
    /// Number of `<obj>` that the answer needs.
    targets: usize,
    /// Number of tokens of the words for the absent object.
    absent: Option<usize>,
    /// Whether the words before the last `<obj>`, or for the absent object, have a loss.
    name_learned: bool,
}

impl Row {
    fn new(
        context: &StageContext,
        example: &Example,
        references: Vec<ReferencePlace>,
    ) -> Result<Self, StageError> {
        let question = &example.question;
        let tokens = InstructionTokens::new(context, question, &example.answer)?;
        let absent = match &example.absent {
            Some(words) => tokens.leading(context, question, words)?,
            None => None,
        };
        Ok(Self {
            tokens,
            references,
            targets: example.targets.len(),
            absent,
            name_learned: example.name_learned,
        })
    }

    /// Number of the answer's first tokens without a loss: a name that is wrong on purpose. The
    /// `<obj>`, or the statement of absence, has a loss nevertheless.
    fn unlearned(&self, context: &StageContext) -> usize {
        if self.name_learned {
            return 0;
        }
        let answer = &self.tokens.answer;
        let object = |token: &u32| *token == context.object;
        let last = answer.iter().rposition(object);
        last.or(self.absent).unwrap_or(answer.len())
    }
}

impl InstructBatch {
    /// Prepares questions about scenes. Scenes with fewer than `per_picture` questions repeat
    /// theirs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_scenes(
        context: &SceneContext,
        scenes: &[(Scene, Vec<Instruction>)],
        per_picture: usize,
        mask_size: usize,
    ) -> Result<Self, StageError> {
        let questions = scenes
            .iter()
            .map(|(scene, instructions)| asked(context, scene, instructions))
            .collect::<Result<Vec<_>, StageError>>()?;
        let scenes: Vec<&Scene> = scenes.iter().map(|(scene, _)| scene).collect();
        Self::of_asked(context, &scenes, &questions, per_picture, mask_size)
    }

    /// Prepares questions about scenes from [`Asked`] pictures.
    pub(super) fn of_asked(
        context: &SceneContext,
        scenes: &[&Scene],
        asked: &[Asked],
        per_picture: usize,
        mask_size: usize,
    ) -> Result<Self, StageError> {
        let mut batch = Self::new(context, asked, Some(per_picture), mask_size)?;
        batch.regions = Some(Regions::new(context, scenes.iter().copied()));
        Ok(batch)
    }

    /// Prepares questions about pictures. With `per_picture`, pictures with fewer questions repeat
    /// theirs; without, each has its own number of questions.
    ///
    /// # Errors
    /// When a picture has no question, a mask has another size than its picture, an answer has
    /// another number of `<obj>` than of targets, or question and answer are longer than the model
    /// reads.
    pub fn new(
        context: &StageContext,
        asked: &[Asked],
        per_picture: Option<usize>,
        mask_size: usize,
    ) -> Result<Self, StageError> {
        asked.iter().try_for_each(Asked::check)?;
        let mut batch = Self::of_pictures(context, asked, mask_size)?;
        let mut references = ReferenceInputs::default();
        let mut rows = Vec::new();
        for (picture, asked) in asked.iter().enumerate() {
            let questions = per_picture.unwrap_or(asked.examples.len());
            for example in asked.examples.iter().cycle().take(questions) {
                let marked = references.add(context, example, picture, &asked.image);
                batch.pictures.push(picture);
                batch.kinds.push(example.kind);
                batch.add_targets(context, &example.targets);
                rows.push(Row::new(context, example, marked)?);
            }
        }
        for row in rows {
            batch.add_row(context, &references, row)?;
        }
        batch.reference_names = references.names();
        batch.images = references.images.values;
        batch.boxes = references.boxes.values;
        batch.sounds = references.sounds.values;
        batch.token_regions = references.regions.values;
        Ok(batch)
    }

    /// Batch of the pictures, without questions.
    fn of_pictures(
        context: &StageContext,
        asked: &[Asked],
        mask_size: usize,
    ) -> Result<Self, StageError> {
        let preprocessor = context.pictures();
        let pictures = asked.par_iter().map(|asked| {
            let (squares, sam) = preprocessor.process(&asked.image)?.into_inputs();
            let sam = sam.ok_or(anyref_core::Error::NoMasks)?;
            Ok((squares, sam.pixels))
        });
        let pictures = pictures.collect::<Result<Vec<_>, StageError>>()?;
        let (tower, sam): (Vec<_>, Vec<_>) = pictures.into_iter().unzip();
        Ok(Self {
            squares: tower.iter().map(Vec::len).collect(),
            tower: tower.into_iter().flatten().collect(),
            sam,
            images: Vec::new(),
            boxes: Vec::new(),
            sounds: Vec::new(),
            token_regions: Vec::new(),
            regions: None,
            reference_names: Vec::new(),
            prefixes: Vec::new(),
            rows: Vec::new(),
            pictures: Vec::new(),
            kinds: Vec::new(),
            predicted: Vec::new(),
            objects: Vec::new(),
            absent: Vec::new(),
            object_names: Vec::new(),
            all_of_name: Vec::new(),
            masks: Vec::new(),
            mask_size,
        })
    }

    /// Adds the masks of a question and their names.
    fn add_targets(&mut self, context: &StageContext, targets: &[ExampleTarget]) {
        for target in targets {
            let mask = context.scored_target(&target.mask, self.mask_size);
            self.masks.extend(mask);
            if target.all_of_name && target.name.is_some() {
                self.all_of_name.push(self.object_names.len());
            }
            self.object_names.push(target.name.unwrap_or(0));
        }
    }

    /// Adds the sequence of a question and its answer, and its predicted tokens.
    fn add_row(
        &mut self,
        context: &StageContext,
        references: &ReferenceInputs,
        row: Row,
    ) -> Result<(), StageError> {
        let (special, tokens) = (&context.special, &row.tokens);
        if self.prefixes.is_empty() {
            let square = context.model.vision_tower.square_tokens();
            let prefix =
                |&squares: &usize| Layout::new(&tokens.prefix, special, squares * square, &[]);
            self.prefixes = self.squares.iter().map(prefix).collect::<Result<_, _>>()?;
        }
        let marked = row.references.iter();
        let marked: Vec<_> = marked
            .map(|&place| references.bank_entry(context, place))
            .map(|entry| (entry.index, entry.tokens))
            .collect();
        let mut layout = Layout::new(&tokens.question, special, 0, &marked)?;
        let answer_start = layout.len();
        let prefix = self.prefixes[self.pictures[self.rows.len()]].len();
        let length = prefix + answer_start + tokens.answer.len();
        self.add_objects(context, &row, answer_start)?;
        let most = context.model.llm.max_position_embeddings;
        if length > most {
            return Err(StageError::TooLong { length, most });
        }
        let unlearned = row.unlearned(context);
        let learned = tokens.answer.iter().enumerate().skip(unlearned);
        let number = self.rows.len();
        self.predicted
            .extend(learned.map(|(index, &token)| PredictedToken {
                row: number,
                position: answer_start + index - 1,
                token: token as usize,
            }));
        // The last token predicts nothing.
        layout.extend(&tokens.answer[..tokens.answer.len() - 1]);
        self.rows.push(layout);
        Ok(())
    }

    /// Adds every `<obj>` of an answer that starts at `answer_start`, or the place at which it
    /// would have been.
    fn add_objects(
        &mut self,
        context: &StageContext,
        row: &Row,
        answer_start: usize,
    ) -> Result<(), StageError> {
        let number = self.rows.len();
        // All tokens of the answer but its end are inputs.
        let answer = &row.tokens.answer;
        let state = context.model.object_state;
        let spans = state.spans(answer, context.object, answer_start, answer.len() - 1);
        if spans.len() != row.targets {
            return Err(StageError::Targets);
        }
        self.objects.extend(spans.iter().map(|span| ObjectTarget {
            row: number,
            position: span.position,
            start: span.start,
        }));
        // An `<obj>` that is not there has no state of its own.
        let absent = row.absent.filter(|_| state == ObjectState::Predicting);
        self.absent.extend(absent.map(|words| ObjectTarget {
            row: number,
            position: answer_start + words - 1,
            start: answer_start - 1,
        }));
        Ok(())
    }

    /// Positions of the longest sequence up to the end of a picture.
    pub(super) fn longest_prefix(&self) -> usize {
        self.prefixes.iter().map(Layout::len).max().unwrap_or(0)
    }

    /// Index of the picture of each of [`pointed`](Self::pointed).
    pub(super) fn picture_of_objects(&self) -> Vec<usize> {
        let picture = |object: &ObjectTarget| self.pictures[object.row];
        self.pointed().map(picture).collect()
    }

    /// Positions of every `<obj>`, then of all absent objects: the prompts of the mask decoder.
    pub(super) fn pointed(&self) -> impl Iterator<Item = &ObjectTarget> {
        self.objects.iter().chain(&self.absent)
    }

    /// Ids of the [`predicted`](Self::predicted) tokens.
    pub(super) fn predicted_tokens(&self) -> Vec<usize> {
        self.predicted.iter().map(|token| token.token).collect()
    }
}
