//! Cache of conversations.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyref_api::{Outcome, Problem};
use anyref_core::Dialogue;

use crate::pictures::PictureId;

#[derive(Debug)]
struct Entry {
    picture: PictureId,
    /// Dialogue; `None` while its next turn is answered.
    dialogue: Option<Dialogue>,
    used: u64,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<String, Entry>,
    time: u64,
}

/// Conversations by identifier. Beyond their limit the least recently used are dropped, and with a
/// picture all conversations about it.
#[derive(Debug)]
pub(crate) struct Conversations {
    kept: Mutex<Kept>,
    most: usize,
}

/// Conversation whose next turn is being answered.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    conversations: &'a Conversations,
    id: String,
    picture: PictureId,
    dialogue: Option<Dialogue>,
}

impl Conversations {
    pub(crate) fn new(most: usize) -> Self {
        Self {
            kept: Mutex::default(),
            most,
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a conversation about a picture.
    pub(crate) fn begin(&self, picture: PictureId, dialogue: Dialogue) -> Taken<'_> {
        let id = format!("con_{:032x}", rand::random::<u128>());
        Taken {
            conversations: self,
            id,
            picture,
            dialogue: Some(dialogue),
        }
    }

    /// Takes a conversation for its next turn.
    pub(crate) fn take(&self, id: &str, picture: &PictureId) -> Outcome<Taken<'_>> {
        let mut kept = self.kept();
        let Some(entry) = kept.entries.get_mut(id) else {
            let message = "there is no such conversation, or it made room for others: begin anew, \
                           without `conversation`";
            let status = axum::http::StatusCode::NOT_FOUND;
            return Err(Problem::new(status, "conversation_not_found", message).at("conversation"));
        };
        if entry.picture != *picture {
            let message = "the conversation is about another picture: name that one, or begin anew";
            return Err(Problem::bad("other_picture", message).at("conversation"));
        }
        let Some(dialogue) = entry.dialogue.take() else {
            let message = "the turn before is not answered yet: wait for it";
            let status = axum::http::StatusCode::CONFLICT;
            return Err(Problem::new(status, "conversation_busy", message).at("conversation"));
        };
        Ok(Taken {
            conversations: self,
            id: id.to_owned(),
            picture: picture.clone(),
            dialogue: Some(dialogue),
        })
    }

    /// Drops conversations about removed pictures, whose memory they would keep.
    pub(crate) fn forget(&self, pictures: &[PictureId]) {
        if !pictures.is_empty() {
            let mut kept = self.kept();
            kept.entries
                .retain(|_, entry| !pictures.contains(&entry.picture));
        }
    }

    /// Drops all conversations, when their engine is gone.
    pub(crate) fn clear(&self) {
        self.kept().entries.clear();
    }

    fn put(&self, id: &str, picture: &PictureId, dialogue: Dialogue) {
        let mut kept = self.kept();
        kept.time += 1;
        let used = kept.time;
        let entry = Entry {
            picture: picture.clone(),
            dialogue: Some(dialogue),
            used,
        };
        kept.entries.insert(id.to_owned(), entry);
        while kept.entries.len() > self.most {
            let oldest = kept.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(id) = oldest.map(|(id, _)| id.clone()) else {
                break;
            };
            kept.entries.remove(&id);
        }
    }
}

impl Taken<'_> {
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Dialogue, to be given back by [`keep`](Self::keep).
    pub(crate) fn dialogue(&mut self) -> Option<Dialogue> {
        self.dialogue.take()
    }

    /// Keeps the dialogue for the next turn.
    pub(crate) fn keep(self, dialogue: Dialogue) {
        self.conversations.put(&self.id, &self.picture, dialogue);
    }
}

impl Drop for Taken<'_> {
    /// Removes the conversation of an abandoned turn, whose dialogue is elsewhere; gives back the
    /// dialogue of a turn that never began.
    fn drop(&mut self) {
        match self.dialogue.take() {
            Some(dialogue) => self.conversations.put(&self.id, &self.picture, dialogue),
            None => {
                let mut kept = self.conversations.kept();
                if kept
                    .entries
                    .get(&self.id)
                    .is_some_and(|entry| entry.dialogue.is_none())
                {
                    kept.entries.remove(&self.id);
                }
            }
        }
    }
}
