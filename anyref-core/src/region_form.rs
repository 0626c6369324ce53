//! Forms in which regions of the picture come into the language model's input.

use serde::{Deserialize, Serialize};

use crate::markers::{BBOX, REFERENCE, VISUAL_PROMPT};

/// Form in which a region of the picture comes into the language model's input.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionForm {
    /// Features pooled inside a box, between markers in the question, as in AnyRef.
    #[default]
    Features,
    /// Tokens of the whole picture that lie inside, between `<vp>` and `</vp>` in a sentence behind
    /// the picture, and "region1" in the question, as in Sa2VA.
    VisualPrompt,
    /// One feature in place of `<bbox>` in the question, as in GLaMM.
    Bbox,
}

impl RegionForm {
    /// Returns whether the form is AnyRef's, which config files omit.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Tokens of a region: a pair around its features, or a single one that they replace.
    pub(crate) fn tokens(self) -> &'static [&'static str] {
        match self {
            Self::Features => &REFERENCE,
            Self::VisualPrompt => &VISUAL_PROMPT,
            Self::Bbox => &BBOX,
        }
    }

    /// Returns whether models of this form were trained to make masks of regions, not only to
    /// describe them.
    pub(crate) fn segments(self) -> bool {
        self == Self::Features
    }

    /// Sentence behind the picture that introduces `count` regions; empty where the question alone
    /// holds them.
    pub(crate) fn introduction(self, count: usize) -> String {
        if self != Self::VisualPrompt || count == 0 {
            return String::new();
        }
        let regions = (1..=count).map(|number| format!("region{number}{}", VISUAL_PROMPT.concat()));
        let regions = regions.collect::<Vec<_>>().join(", ");
        format!("\nThere are {count} part regions in the picture: {regions}.\n")
    }

    /// Question in this form, of one with AnyRef's markers in place of its regions. `named` counts
    /// the regions of the turns so far.
    pub(crate) fn question(self, question: &str, named: &mut usize) -> String {
        let place = REFERENCE.concat();
        let mut pieces = question.split(place.as_str()).map(str::to_owned);
        let first = pieces.next().unwrap_or_default();
        pieces.fold(first, |text, piece| {
            *named += 1;
            let region = match self {
                Self::Features | Self::Bbox => self.tokens().concat(),
                Self::VisualPrompt => format!("region{named}"),
            };
            text + &region + &piece
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_introduced_where_the_question_names_them() {
        assert_eq!(RegionForm::VisualPrompt.introduction(0), "");
        assert_eq!(
            RegionForm::VisualPrompt.introduction(2),
            "\nThere are 2 part regions in the picture: region1<vp></vp>, region2<vp></vp>.\n"
        );
        for form in [RegionForm::Features, RegionForm::Bbox] {
            assert_eq!(form.introduction(2), "");
        }
    }

    #[test]
    fn questions_hold_regions_in_their_form() {
        let mut named = 1;
        let asked = "What is <img_ref></img_ref> beside <img_ref></img_ref>?";
        let text = RegionForm::VisualPrompt.question(asked, &mut named);
        assert_eq!(text, "What is region2 beside region3?");
        let after = RegionForm::VisualPrompt.question("And?", &mut named);
        assert_eq!((after.as_str(), named), ("And?", 3));
        let text = RegionForm::Bbox.question(asked, &mut named);
        assert_eq!(text, "What is <bbox> beside <bbox>?");
        assert_eq!(RegionForm::Features.question(asked, &mut named), asked);
    }
}
