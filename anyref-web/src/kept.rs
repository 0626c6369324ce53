//! Pictures and conversations kept for further questions.

use anyref_core::{Dialogue, EncodedPicture};

/// Memory of pictures in bytes. WebAssembly has 4 GiB in all.
const PICTURE_BYTES: u64 = 512 << 20;
/// Largest number of conversations.
const DIALOGUES: usize = 32;

/// Values by identifier, the most recently used last.
#[derive(Debug)]
struct Recent<T> {
    values: Vec<(String, T)>,
    kind: &'static str,
}

impl<T> Recent<T> {
    fn new(kind: &'static str) -> Self {
        Self {
            values: Vec::new(),
            kind,
        }
    }

    fn add(&mut self, value: T) -> String {
        // Random, so that it differs from identifiers of an earlier session, which may be asked
        // about after a fault.
        let id = format!("{}_{:016x}", self.kind, rand::random::<u64>());
        self.values.push((id.clone(), value));
        id
    }

    fn take(&mut self, id: &str) -> Option<T> {
        let place = self.values.iter().position(|(own, _)| own == id)?;
        Some(self.values.remove(place).1)
    }
}

/// Pictures and conversations. The least recently used are dropped when there is no room.
#[derive(Debug)]
pub(crate) struct Kept {
    pictures: Recent<EncodedPicture>,
    dialogues: Recent<Dialogue>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        Self {
            pictures: Recent::new("pic"),
            dialogues: Recent::new("con"),
        }
    }

    /// Keeps a picture; returns its identifier.
    pub(crate) fn add_picture(&mut self, picture: EncodedPicture) -> String {
        let id = self.pictures.add(picture);
        let values = &mut self.pictures.values;
        let mut bytes: u64 = values.iter().map(|(_, picture)| picture.bytes()).sum();
        // The newest picture stays, whatever its size.
        while bytes > PICTURE_BYTES && values.len() > 1 {
            bytes -= values.remove(0).1.bytes();
        }
        id
    }

    /// Returns a kept picture.
    pub(crate) fn picture(&mut self, id: &str) -> Option<EncodedPicture> {
        let picture = self.pictures.take(id)?;
        self.pictures.values.push((id.to_owned(), picture.clone()));
        Some(picture)
    }

    /// Takes a conversation for its next turn.
    pub(crate) fn take_dialogue(&mut self, id: &str) -> Option<Dialogue> {
        self.dialogues.take(id)
    }

    /// Keeps a conversation, under `id` if it has one; returns its identifier.
    pub(crate) fn keep_dialogue(&mut self, id: Option<String>, dialogue: Dialogue) -> String {
        let id = match id {
            Some(id) => {
                self.dialogues.values.push((id.clone(), dialogue));
                id
            }
            None => self.dialogues.add(dialogue),
        };
        if self.dialogues.values.len() > DIALOGUES {
            self.dialogues.values.remove(0);
        }
        id
    }
}
