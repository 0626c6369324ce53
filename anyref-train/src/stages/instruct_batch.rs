//! Pictures and questions as what the model takes.

use anyhow::{Context, Result};
use anyref_audio::AudioFeatures;
use anyref_core::{Layout, Question, SpecialTokens, object_spans};
use anyref_llm::conversation::llava_v1;
use anyref_vision::preprocess::PixelValues;
use anyref_vision::roi_align::RegionBox;
use image::RgbImage;
use rayon::prelude::*;

use super::context::StageContext;
use super::example::{Asked, Example, ExampleReference, ExampleTarget};
use super::regions::Regions;
use super::scene_context::SceneContext;
use anyref_data::scenes::phrases::named;
use anyref_data::scenes::{Instruction, Kind, OBJECT, Scene};

/// Questions about several pictures.
#[derive(Debug)]
pub struct InstructBatch {
    /// CLIP's input of each picture.
    pub clip: Vec<PixelValues>,
    /// SAM's input of each picture.
    pub sam: Vec<PixelValues>,
    /// CLIP's input of reference pictures.
    pub images: Vec<PixelValues>,
    /// Boxes; `batch` is the picture.
    pub boxes: Vec<RegionBox>,
    /// Sounds.
    pub sounds: Vec<AudioFeatures>,
    /// The objects of scenes, by name; absent for other pictures.
    pub(super) regions: Option<Regions>,
    /// Index of the name of what each reference shows, in the order of the reference bank; none where the
    /// instruction does not say.
    pub(super) referred: Vec<Option<usize>>,
    /// The sequence up to the picture's end, the same for all pictures.
    pub prefix: Layout,
    /// Each question and its answer, picture by picture.
    pub rows: Vec<Layout>,
    /// The picture of each row, in ascending order.
    pub pictures: Vec<usize>,
    /// Kind of each row.
    pub kinds: Vec<Kind>,
    /// States that predict a token of an answer that is to be learned: row and position in the row.
    pub predictors: Vec<(usize, usize)>,
    /// The tokens they predict.
    pub predicted: Vec<usize>,
    /// Every `<obj>`.
    pub objects: Vec<ObjectTarget>,
    /// Where answers could have pointed, had what they say is not there been there.
    pub absent: Vec<ObjectTarget>,
    /// Indices of their names.
    pub(super) nouns: Vec<usize>,
    /// Those of them that point at everything of their name.
    pub(super) whole: Vec<usize>,
    /// Their masks, `[objects, size, size]`.
    pub masks: Vec<f32>,
    /// Side of a mask.
    pub mask_size: usize,
}

/// An `<obj>` of an answer; positions count from the picture's end.
#[derive(Debug, Clone, Copy)]
pub struct ObjectTarget {
    /// Row of the question.
    pub row: usize,
    /// The state that predicts it.
    pub position: usize,
    /// First state of its span.
    pub start: usize,
}

/// A row before all kinds of references are counted.
struct Row {
    tokens: Tokens,
    /// Kind and place among those of the kind.
    references: Vec<(usize, usize)>,
    /// How many `<obj>` the answer has.
    targets: usize,
    /// Tokens of the words for what is not there.
    absent: Option<usize>,
    /// Whether the words before the last `<obj>`, or for what is not there, are learned.
    spoken: bool,
}

/// A reference of a row, before all kinds are counted.
enum Entry {
    Image(usize),
    Box(usize),
    Sound(usize),
}

impl InstructBatch {
    /// Prepares questions about scenes. Scenes with fewer than `per_picture` repeat theirs.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn of_scenes(
        context: &SceneContext,
        scenes: &[(Scene, Vec<Instruction>)],
        per_picture: usize,
        mask_size: usize,
    ) -> Result<Self> {
        let (asked, scenes): (Vec<_>, Vec<_>) = scenes
            .iter()
            .map(|(scene, instructions)| Ok((asked(context, scene, instructions)?, scene)))
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .unzip();
        Self::of_asked(context, &scenes, &asked, per_picture, mask_size)
    }

    /// The same of questions that are prepared already.
    pub(super) fn of_asked(
        context: &SceneContext,
        scenes: &[&Scene],
        asked: &[Asked],
        per_picture: usize,
        mask_size: usize,
    ) -> Result<Self> {
        let mut batch = Self::new(context, asked, Some(per_picture), mask_size)?;
        batch.regions = Some(Regions::new(context, scenes.iter().copied()));
        Ok(batch)
    }

    /// Prepares questions about pictures: `per_picture` about each, which repeats its own where it has fewer, or those
    /// it has.
    ///
    /// # Errors
    /// When a picture has no question, a mask is not of its picture, an answer has another number of
    /// `<obj>` than of targets, or question and answer are longer than the model reads.
    pub fn new(
        context: &StageContext,
        asked: &[Asked],
        per_picture: Option<usize>,
        mask_size: usize,
    ) -> Result<Self> {
        let mut batch = Self {
            clip: Vec::new(),
            sam: Vec::new(),
            images: Vec::new(),
            boxes: Vec::new(),
            sounds: Vec::new(),
            regions: None,
            referred: Vec::new(),
            prefix: Layout::default(),
            rows: Vec::new(),
            pictures: Vec::new(),
            kinds: Vec::new(),
            predictors: Vec::new(),
            predicted: Vec::new(),
            objects: Vec::new(),
            absent: Vec::new(),
            nouns: Vec::new(),
            whole: Vec::new(),
            masks: Vec::new(),
            mask_size,
        };
        let (clip, sam) = (context.clip(), context.sam());
        asked.iter().try_for_each(Asked::check)?;
        let pictures = asked
            .par_iter()
            .map(|asked| (clip.process(&asked.image), sam.process(&asked.image).pixels));
        (batch.clip, batch.sam) = pictures.unzip();
        let mut rows = Vec::new();
        let (mut shown, mut boxed, mut heard_of) = (Vec::new(), Vec::new(), Vec::new());
        for (index, asked) in asked.iter().enumerate() {
            let questions = per_picture.unwrap_or(asked.examples.len());
            for example in asked.examples.iter().cycle().take(questions) {
                batch.pictures.push(index);
                let entries = example.references.iter().map(|reference| match reference {
                    ExampleReference::Text => None,
                    ExampleReference::Box(region) => {
                        batch.boxes.push(share(*region, index, &asked.image));
                        boxed.push(example.reference_name);
                        Some(Entry::Box(batch.boxes.len() - 1))
                    }
                    ExampleReference::Image(pixels) => {
                        batch.images.push(pixels.clone());
                        shown.push(example.reference_name);
                        Some(Entry::Image(batch.images.len() - 1))
                    }
                    ExampleReference::Audio(features) => {
                        batch.sounds.push(features.clone());
                        heard_of.push(example.reference_name);
                        Some(Entry::Sound(batch.sounds.len() - 1))
                    }
                });
                let entries: Vec<_> = entries.collect();
                let marked = example.question.marked.iter();
                let references: Vec<_> = marked
                    .filter_map(|&marked| entries.get(marked)?.as_ref())
                    .map(|entry| match entry {
                        Entry::Image(i) => (0, *i),
                        Entry::Box(i) => (1, *i),
                        Entry::Sound(i) => (2, *i),
                    })
                    .collect();
                let tokens = Tokens::new(context, &example.question.text, &example.answer)?;
                for target in &example.targets {
                    batch
                        .masks
                        .extend(context.scored_target(&target.mask, mask_size));
                    if target.whole && target.name.is_some() {
                        batch.whole.push(batch.nouns.len());
                    }
                    batch.nouns.push(target.name.unwrap_or(0));
                }
                batch.kinds.push(example.kind);
                let absent = match &example.absent {
                    Some(words) => tokens.words_alone(context, &example.question.text, words)?,
                    None => None,
                };
                rows.push(Row {
                    tokens,
                    references,
                    targets: example.targets.len(),
                    absent,
                    spoken: example.spoken,
                });
            }
        }
        batch.referred = [shown, boxed, heard_of].concat();
        let offsets = [
            0,
            batch.images.len(),
            batch.images.len() + batch.boxes.len(),
        ];
        let lengths = [
            context.model.reference_tokens,
            context.model.reference_tokens,
            clips(context),
        ];
        for (row, asked) in rows.into_iter().enumerate() {
            let tokens = asked.tokens;
            let references: Vec<_> = asked
                .references
                .iter()
                .map(|&(kind, i)| (offsets[kind] + i, lengths[kind]))
                .collect();
            if batch.prefix.is_empty() {
                let image = context.model.image_tokens();
                batch.prefix = Layout::new(&tokens.prefix, &context.special, image, &[])?;
            }
            let mut layout = Layout::new(&tokens.question, &context.special, 0, &references)?;
            let answer_start = layout.len();
            let spans = object_spans(&tokens.answer, context.special.object, answer_start);
            anyhow::ensure!(
                spans.len() == asked.targets,
                "an answer's <obj> and targets differ"
            );
            let length = batch.prefix.len() + answer_start + tokens.answer.len();
            let most = context.model.llm.max_position_embeddings;
            anyhow::ensure!(
                length <= most,
                "a picture, its question and answer are {length} positions long, and the model reads {most}"
            );
            for span in spans {
                batch.objects.push(ObjectTarget {
                    row,
                    position: span.position,
                    start: span.start,
                });
            }
            if let Some(words) = asked.absent {
                batch.absent.push(ObjectTarget {
                    row,
                    position: answer_start + words - 1,
                    start: answer_start - 1,
                });
            }
            let object = |token: &u32| *token == context.special.object;
            // A name that is wrong on purpose; that it is pointed at, or is not there, is to be learned all the same.
            let wrong = match asked.spoken {
                true => 0,
                false => {
                    let name = tokens.answer.iter().rposition(object);
                    name.or(asked.absent).unwrap_or(tokens.answer.len())
                }
            };
            for (index, &token) in tokens.answer.iter().enumerate().skip(wrong) {
                batch.predictors.push((row, answer_start + index - 1));
                batch.predicted.push(token as usize);
            }
            // The last token predicts nothing.
            layout.extend(&tokens.answer[..tokens.answer.len() - 1]);
            batch.rows.push(layout);
        }
        Ok(batch)
    }
}

impl InstructBatch {
    /// The picture of each of [`pointed`](Self::pointed).
    pub(super) fn picture_of_objects(&self) -> Vec<usize> {
        let picture = |object: &ObjectTarget| self.pictures[object.row];
        self.pointed().map(picture).collect()
    }

    /// Every `<obj>`, then everything that is not there: what the mask decoder is prompted for.
    pub(super) fn pointed(&self) -> impl Iterator<Item = &ObjectTarget> {
        self.objects.iter().chain(&self.absent)
    }
}

/// An instruction as ids, cut after the picture and before the answer.
struct Tokens {
    prefix: Vec<u32>,
    question: Vec<u32>,
    answer: Vec<u32>,
}

impl Tokens {
    fn new(context: &StageContext, question: &str, answer: &str) -> Result<Self> {
        let asked = llava_v1().ask(format!("{}\n{question}", SpecialTokens::IMAGE.concat()));
        let prompt = context
            .tokenizer
            .encode(&asked.clone().open().prompt(), true)?;
        let whole = context
            .tokenizer
            .encode(&asked.answer(answer).prompt(), true)?;
        anyhow::ensure!(
            whole.len() > prompt.len() && whole[..prompt.len()] == prompt,
            "the tokenizer merges a question with its answer: {question:?} {answer:?}"
        );
        let cut = prompt
            .iter()
            .position(|&id| id == context.special.image_end)
            .context("the conversation has no picture")?;
        Ok(Self {
            prefix: prompt[..=cut].to_vec(),
            question: prompt[cut + 1..].to_vec(),
            answer: whole[prompt.len()..].to_vec(),
        })
    }

    /// How many tokens of the answer are the words it begins with; none when they end within a token.
    fn words_alone(
        &self,
        context: &StageContext,
        question: &str,
        words: &str,
    ) -> Result<Option<usize>> {
        let pointing = Self::new(context, question, &format!("{words}{OBJECT}."))?.answer;
        let object = context.special.object;
        let words = pointing.iter().take_while(|&&id| id != object).count();
        Ok((words > 0 && self.answer.get(..words) == Some(&pointing[..words])).then_some(words))
    }
}

/// Tokens a sound becomes.
fn clips(context: &StageContext) -> usize {
    context
        .model
        .audio
        .as_ref()
        .map_or(0, |audio| audio.preprocessor.num_clips)
}

/// A box as shares of its picture.
fn share([x0, y0, x1, y1]: [f32; 4], batch: usize, image: &RgbImage) -> RegionBox {
    let (width, height) = (image.width() as f32, image.height() as f32);
    RegionBox {
        batch,
        x0: x0 / width,
        y0: y0 / height,
        x1: x1 / width,
        y1: y1 / height,
    }
}

/// A scene's questions. Those with a sound that cannot be heard are left out.
pub(super) fn asked(
    context: &SceneContext,
    scene: &Scene,
    instructions: &[Instruction],
) -> Result<Asked> {
    let mut examples = Vec::with_capacity(instructions.len());
    for instruction in instructions {
        let prepared: Result<Vec<_>> = instruction
            .references
            .iter()
            .map(|reference| ExampleReference::new(context, reference))
            .collect();
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) if error.is::<anyref_audio::Error>() => continue,
            Err(error) => return Err(error),
        };
        let noun = instruction.reference_noun(scene);
        let targets = instruction.targets.iter().map(|target| ExampleTarget {
            mask: target.mask(scene),
            name: context.name(&target.noun),
            whole: target.made_up.is_none()
                && named(scene, &target.noun).len() == target.objects.len(),
        });
        examples.push(Example {
            kind: instruction.kind,
            question: Question::build(&instruction.question, &instruction.references)?,
            references: prepared,
            answer: instruction.answer.clone(),
            spoken: !instruction.misnamed,
            targets: targets.collect(),
            absent: instruction.absent_phrase().map(str::to_owned),
            reference_name: noun.and_then(|noun| context.name(noun)),
        });
    }
    Ok(Asked {
        image: scene.image.clone(),
        examples,
    })
}
