//! Scenes and instructions as what the model takes.

use anyhow::{Context, Result};
use anyref_audio::{AudioFeatures, Waveform};
use anyref_core::{Layout, Question, Reference, ReferenceImage, SpecialTokens, object_spans};
use anyref_llm::conversation::llava_v1;
use anyref_vision::preprocess::PixelValues;
use anyref_vision::roi_align::RegionBox;

use super::context::StageContext;
use super::regions::Regions;
use crate::data::phrases::named;
use crate::data::sound::SAMPLE_RATE;
use crate::data::{Instruction, Kind, ReferenceData, Scene};

/// Instructions about several scenes, the same number a scene.
#[derive(Debug)]
pub struct InstructBatch {
    /// CLIP's input of each scene.
    pub clip: Vec<PixelValues>,
    /// SAM's input of each scene.
    pub sam: Vec<PixelValues>,
    /// CLIP's input of reference pictures.
    pub images: Vec<PixelValues>,
    /// Boxes; `batch` is the scene.
    pub boxes: Vec<RegionBox>,
    /// Sounds.
    pub sounds: Vec<AudioFeatures>,
    /// The scenes' objects, by name.
    pub(super) regions: Regions,
    /// Index of the name of what each reference shows, in the order of the reference bank; none where the
    /// instruction does not say.
    pub(super) referred: Vec<Option<usize>>,
    /// The sequence up to the picture's end, the same for all scenes.
    pub prefix: Layout,
    /// Question and answer of each instruction, scene by scene.
    pub rows: Vec<Layout>,
    /// Instructions a scene.
    pub per_scene: usize,
    /// Kind of each row.
    pub kinds: Vec<Kind>,
    /// States that predict a token of an answer: row and position in the row.
    pub predictors: Vec<(usize, usize)>,
    /// The tokens they predict.
    pub predicted: Vec<usize>,
    /// Every `<obj>`.
    pub objects: Vec<ObjectTarget>,
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
    /// Row of the instruction.
    pub row: usize,
    /// The state that predicts it.
    pub position: usize,
    /// First state of its span.
    pub start: usize,
}

/// A reference of a row, before all kinds are counted.
enum Entry {
    Image(usize),
    Box(usize),
    Sound(usize),
}

impl InstructBatch {
    /// Prepares instructions about `scenes`. Scenes with fewer than `per_scene` repeat theirs.
    pub fn new(
        context: &StageContext,
        scenes: &[(Scene, Vec<Instruction>)],
        per_scene: usize,
        mask_size: usize,
    ) -> Result<Self> {
        let regions = Regions::new(context, scenes.iter().map(|(scene, _)| scene));
        let mut batch = Self {
            clip: Vec::new(),
            sam: Vec::new(),
            images: Vec::new(),
            boxes: Vec::new(),
            sounds: Vec::new(),
            regions,
            referred: Vec::new(),
            prefix: Layout::default(),
            rows: Vec::new(),
            per_scene,
            kinds: Vec::new(),
            predictors: Vec::new(),
            predicted: Vec::new(),
            objects: Vec::new(),
            nouns: Vec::new(),
            whole: Vec::new(),
            masks: Vec::new(),
            mask_size,
        };
        let (clip, sam, hearing) = (context.clip(), context.sam(), context.sound());
        let mut rows = Vec::new();
        let (mut shown, mut boxed, mut heard_of) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (scene, instructions)) in scenes.iter().enumerate() {
            batch.clip.push(clip.process(&scene.image));
            batch.sam.push(sam.process(&scene.image).pixels);
            let mut made = 0;
            // Enough rounds even when only one of them can be heard.
            for instruction in instructions
                .iter()
                .cycle()
                .take(per_scene * instructions.len())
            {
                if made == per_scene {
                    break;
                }
                let mut references = Vec::new();
                let mut entries = Vec::new();
                let mut heard = true;
                let noun = instruction.reference_noun(scene);
                let noun = noun.and_then(|noun| context.name(noun));
                for reference in &instruction.references {
                    references.push(match reference {
                        ReferenceData::Box(region) => {
                            entries.push(Entry::Box(batch.boxes.len()));
                            batch.boxes.push(share(*region, index, scene));
                            boxed.push(noun);
                            Reference::Box(*region)
                        }
                        ReferenceData::Image(image) => {
                            entries.push(Entry::Image(batch.images.len()));
                            batch.images.push(clip.process(image));
                            shown.push(noun);
                            Reference::Image(ReferenceImage::new(image.clone()))
                        }
                        ReferenceData::Audio(samples) => {
                            let hearing =
                                hearing.as_ref().context("the model has no audio encoder")?;
                            let sound = Waveform::new(samples.clone(), SAMPLE_RATE);
                            match hearing.process(&sound) {
                                Ok(features) => {
                                    entries.push(Entry::Sound(batch.sounds.len()));
                                    batch.sounds.push(features);
                                    heard_of.push(noun);
                                }
                                Err(_) => heard = false,
                            }
                            Reference::Audio(sound)
                        }
                    });
                }
                if !heard {
                    continue;
                }
                let row = rows.len();
                let question = Question::build(&instruction.question, &references)?;
                let entries: Vec<_> = question.marked.iter().map(|&i| &entries[i]).collect();
                let tokens = Tokens::new(context, &question.text, &instruction.answer)?;
                let references = entries
                    .iter()
                    .map(|entry| match entry {
                        Entry::Image(i) => (0, *i),
                        Entry::Box(i) => (1, *i),
                        Entry::Sound(i) => (2, *i),
                    })
                    .collect::<Vec<_>>();
                for target in &instruction.targets {
                    let mask = target.mask(scene);
                    batch.masks.extend(context.mask_target(&mask, mask_size));
                    if named(scene, &target.noun).len() == target.objects.len()
                        && context.name(&target.noun).is_some()
                    {
                        batch.whole.push(batch.nouns.len());
                    }
                    batch.nouns.push(context.name(&target.noun).unwrap_or(0));
                }
                batch.kinds.push(instruction.kind);
                rows.push((tokens, references, instruction.targets.len(), row));
                made += 1;
            }
            anyhow::ensure!(made == per_scene, "a scene has no usable instruction");
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
        for (tokens, references, targets, row) in rows {
            let references: Vec<_> = references
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
                spans.len() == targets,
                "an answer's <obj> and targets differ"
            );
            for span in spans {
                batch.objects.push(ObjectTarget {
                    row,
                    position: span.position,
                    start: span.start,
                });
            }
            for (index, &token) in tokens.answer.iter().enumerate() {
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
    /// The scene of every `<obj>`.
    pub(super) fn scene_of_objects(&self) -> Vec<usize> {
        let scene = |object: &ObjectTarget| object.row / self.per_scene;
        self.objects.iter().map(scene).collect()
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
}

/// Tokens a sound becomes.
fn clips(context: &StageContext) -> usize {
    context
        .model
        .audio
        .as_ref()
        .map_or(0, |audio| audio.preprocessor.num_clips)
}

/// A box as shares of its scene.
fn share([x0, y0, x1, y1]: [f32; 4], batch: usize, scene: &Scene) -> RegionBox {
    let (width, height) = (scene.image.width() as f32, scene.image.height() as f32);
    RegionBox {
        batch,
        x0: x0 / width,
        y0: y0 / height,
        x1: x1 / width,
        y1: y1 / height,
    }
}
