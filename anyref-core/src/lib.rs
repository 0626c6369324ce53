//! AnyRef: point at things in pictures by text, box, picture or sound; get a sentence and masks.
