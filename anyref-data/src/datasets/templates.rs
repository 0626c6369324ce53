//! Questions and answers made of items, by the templates in a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::error::{Error, Result};
use super::files;
use super::item::{Item, Reference, Task};
use crate::scenes::OBJECT;
use crate::scenes::mix;

/// Templates of the paper.
const PAPER: &str = include_str!("../../assets/templates.json");
/// Name of the placeholder for the phrase.
const PHRASE: &str = "phrase";

/// Variants of questions and answers. `{phrase}` stands for the words that refer to the object,
/// `{1}` for the first reference that is no text, and `<obj>` for the mask.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Templates {
    questions: BTreeMap<Task, Vec<String>>,
    /// Variants for a target with a known name.
    target: Vec<String>,
    /// Variants for a target without a name.
    unnamed_target: Vec<String>,
    /// Text between targets.
    separator: String,
    /// Text after the last target, and after a description.
    end: String,
    /// Variants of the answer when the named object is absent.
    absent: Vec<String>,
    /// Variants of the answer when an object without a name is absent.
    unnamed_absent: Vec<String>,
}

/// Question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Question; `{1}`, `{2}` stand for the item's references that are no texts.
    pub question: String,
    /// Answer, with one `<obj>` a target; a description has none.
    pub answer: String,
}

impl Templates {
    /// Templates of the paper.
    ///
    /// # Errors
    /// Never, unless the program was built with a wrong file.
    pub fn paper() -> Result<Self> {
        Self::read(Path::new("templates.json"), PAPER)
    }

    /// Reads a file in the format of `anyref-data/assets/templates.json`.
    ///
    /// # Errors
    /// When a task has no question, or a template lacks its placeholder.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(path, &files::text(path)?)
    }

    fn read(path: &Path, text: &str) -> Result<Self> {
        let wrong = |reason: String| Error::Line {
            path: path.to_owned(),
            line: 1,
            reason,
        };
        let templates: Self = serde_json::from_str(text).map_err(|e| Error::Line {
            path: path.to_owned(),
            line: e.line(),
            reason: e.to_string(),
        })?;
        let questions = [
            Task::Text,
            Task::Semantic,
            Task::Describe,
            Task::Image,
            Task::Audio,
        ];
        let phrase = format!("{{{PHRASE}}}");
        let mut needed: Vec<(String, &[String], Vec<&str>)> = Vec::new();
        for task in questions {
            let variants = templates
                .questions
                .get(&task)
                .map_or(&[][..], Vec::as_slice);
            let needs = match task {
                Task::Text | Task::Semantic => phrase.as_str(),
                _ => "{1}",
            };
            needed.push((format!("questions of {task:?}"), variants, vec![needs]));
        }
        needed.push((
            "target".into(),
            templates.target.as_slice(),
            vec![phrase.as_str(), OBJECT],
        ));
        needed.push((
            "unnamed_target".into(),
            templates.unnamed_target.as_slice(),
            vec![OBJECT],
        ));
        needed.push((
            "absent".into(),
            templates.absent.as_slice(),
            vec![phrase.as_str()],
        ));
        needed.push((
            "unnamed_absent".into(),
            templates.unnamed_absent.as_slice(),
            vec![],
        ));
        for (name, variants, needs) in needed {
            if variants.is_empty() {
                return Err(wrong(format!("no {name}; give at least one")));
            }
            for variant in variants {
                if let Some(lacking) = needs
                    .iter()
                    .find(|part| variant.matches(**part).count() != 1)
                {
                    let reason = format!("{name}: \"{variant}\" must have {lacking} once");
                    return Err(wrong(reason));
                }
            }
        }
        Ok(templates)
    }

    /// Question and answer for an item; `draw` selects among variants and expressions.
    ///
    /// A description has no `<obj>` here, though the item has a target: the training configuration
    /// decides whether descriptions are followed by a mask.
    pub fn conversation(&self, item: &Item, draw: u64) -> Conversation {
        let mut state = draw;
        let mut choose = |count: usize| {
            state = mix(state);
            (state % count.max(1) as u64) as usize
        };
        let texts: Vec<&str> = item
            .references
            .iter()
            .filter_map(|reference| match reference {
                Reference::Text(text) => Some(text.as_str()),
                _ => None,
            })
            .collect();
        let named = texts.first().copied();
        let variants = &self.questions[&item.task];
        let variant = &variants[choose(variants.len())];
        let question = item.question.as_ref().unwrap_or(variant);
        Conversation {
            question: self.question(question, item, named),
            answer: match &item.answer {
                Some(answer) => answer.clone(),
                None => self.answer(item, named, &mut choose),
            },
        }
    }

    /// Inserts the texts and renumbers the other references.
    fn question(&self, template: &str, item: &Item, named: Option<&str>) -> String {
        fill(template, |name| {
            if name == PHRASE {
                return named.map(str::to_owned);
            }
            let place = name.parse::<usize>().ok()?.checked_sub(1)?;
            match item.references.get(place)? {
                Reference::Text(text) => Some(text.clone()),
                _ => {
                    let before = item.references[..place].iter();
                    let others = before.filter(|r| !matches!(r, Reference::Text(_))).count();
                    Some(format!("{{{}}}", others + 1))
                }
            }
        })
    }

    fn answer(
        &self,
        item: &Item,
        named: Option<&str>,
        choose: &mut impl FnMut(usize) -> usize,
    ) -> String {
        let with = |template: &str, phrase: &str| {
            fill(template, |name| (name == PHRASE).then(|| phrase.to_owned()))
        };
        if item.task == Task::Describe {
            let chosen = item.expressions.get(choose(item.expressions.len()));
            let words = chosen.map_or("", String::as_str);
            return format!("{}{}", words.trim_end_matches(&self.end), self.end);
        }
        if item.targets.is_empty() {
            return match named {
                Some(phrase) => with(&self.absent[choose(self.absent.len())], phrase),
                None => self.unnamed_absent[choose(self.unnamed_absent.len())].clone(),
            };
        }
        let targets = item
            .targets
            .iter()
            .map(|target| match target.phrase.is_empty() {
                true => self.unnamed_target[choose(self.unnamed_target.len())].clone(),
                false => with(&self.target[choose(self.target.len())], &target.phrase),
            });
        let targets: Vec<String> = targets.collect();
        targets.join(&self.separator) + &self.end
    }
}

/// Replaces each known `{name}` in one pass: inserted text is not scanned again.
fn fill(template: &str, known: impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        filled.push_str(before);
        match after
            .split_once('}')
            .and_then(|(name, after)| Some((known(name)?, after)))
        {
            Some((value, after)) => {
                filled.push_str(&value);
                rest = after;
            }
            None => {
                filled.push('{');
                rest = after;
            }
        }
    }
    filled + rest
}
