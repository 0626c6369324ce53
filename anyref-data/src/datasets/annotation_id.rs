//! Identifiers of annotations: integers everywhere but in RefCLEF.

use core::fmt;
use core::str::FromStr;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Identifier of an annotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnnotationId {
    /// Integer, as in COCO.
    Number(i64),
    /// RefCLEF's form `10000_1`: a picture of SAIAPR TC-12 and the number of a segment in it.
    Segment {
        /// Number of the picture.
        picture: u32,
        /// Number of the segment in the picture.
        segment: u32,
    },
}

impl From<i64> for AnnotationId {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl PartialEq<i64> for AnnotationId {
    fn eq(&self, number: &i64) -> bool {
        *self == Self::Number(*number)
    }
}

impl fmt::Display for AnnotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Segment { picture, segment } => write!(f, "{picture}_{segment}"),
        }
    }
}

impl FromStr for AnnotationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refused = || format!("annotation {text:?} is neither a number nor PICTURE_SEGMENT");
        match text.split_once('_') {
            Some((picture, segment)) => Ok(Self::Segment {
                picture: picture.parse().map_err(|_| refused())?,
                segment: segment.parse().map_err(|_| refused())?,
            }),
            None => text.parse().map(Self::Number).map_err(|_| refused()),
        }
    }
}

impl Serialize for AnnotationId {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => to.serialize_i64(*number),
            Self::Segment { .. } => to.collect_str(self),
        }
    }
}

impl<'de> Deserialize<'de> for AnnotationId {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = AnnotationId;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the number of an annotation, or PICTURE_SEGMENT")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<AnnotationId, E> {
                Ok(AnnotationId::Number(number))
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<AnnotationId, E> {
                let number = i64::try_from(number);
                number.map(AnnotationId::Number).map_err(E::custom)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AnnotationId, E> {
                text.parse().map_err(E::custom)
            }
        }

        from.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_written_as_they_were() {
        for text in ["1719310", "-1", "\"10000_1\""] {
            let id: AnnotationId = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&id).unwrap(), text);
        }
        let id: AnnotationId = serde_json::from_str("\"12\"").unwrap();
        assert_eq!(id, 12);
        for text in ["\"a_1\"", "\"1_\"", "\"1_2_3\"", "1.5", "\"\"", "null"] {
            assert!(
                serde_json::from_str::<AnnotationId>(text).is_err(),
                "{text}"
            );
        }
    }
}
