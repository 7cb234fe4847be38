//! Emoji that administrators uploaded (facts 6, capture 45).

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::State;
use crate::{ids, json, time};

/// An uploaded emoji.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CustomEmoji {
    /// Id.
    #[serde(rename = "_id")]
    pub id: String,
    /// Name, without colons.
    pub name: String,
    /// Other names.
    pub aliases: Vec<String>,
    /// Ending of the file's name, which need not be its type.
    pub extension: String,
    /// When it was changed last, milliseconds.
    pub updated: i64,
    /// The picture.
    pub picture: Vec<u8>,
}

impl CustomEmoji {
    /// As lists show it.
    pub fn shown(&self) -> Value {
        json!({
            "_id": self.id, "name": self.name, "aliases": self.aliases, "extension": self.extension,
            "_updatedAt": json::date(self.updated),
        })
    }

    fn answers_to(&self, name: &str) -> bool {
        self.name == name || self.aliases.iter().any(|alias| alias == name)
    }
}

/// All uploaded emoji in order of upload, and when which went.
#[derive(Debug, Default)]
pub struct Emoji {
    /// Those that are there.
    pub all: Vec<CustomEmoji>,
    /// Those that went: id and when.
    pub removed: Vec<(String, i64)>,
}

impl Emoji {
    /// Whether a name or alias is one of an uploaded emoji.
    pub fn is_known(&self, name: &str) -> bool {
        self.all.iter().any(|one| one.answers_to(name))
    }

    /// The picture behind a file name such as `party.png`; the name only, no alias.
    pub fn file(&self, file: &str) -> Option<&CustomEmoji> {
        let (name, extension) = file.rsplit_once('.')?;
        self.all
            .iter()
            .find(|one| one.name == name && one.extension == extension)
    }

    /// Puts an emoji in the place of an older version of it, or at the end.
    pub fn store(&mut self, emoji: CustomEmoji) {
        match self.all.iter_mut().find(|one| one.id == emoji.id) {
            Some(old) => *old = emoji,
            None => self.all.push(emoji),
        }
    }

    /// Removes an emoji.
    pub fn forget(&mut self, id: &str) -> Option<CustomEmoji> {
        let at = self.all.iter().position(|one| one.id == id)?;
        Some(self.all.remove(at))
    }
}

impl State {
    /// Uploads an emoji, or gives the one called `previous` another name and picture. Says `false`
    /// when the name is taken, or `previous` unknown.
    pub fn upload_emoji(
        &mut self,
        previous: Option<&str>,
        name: &str,
        aliases: Vec<String>,
        extension: &str,
        picture: Vec<u8>,
    ) -> bool {
        let old = previous.and_then(|name| self.emoji.all.iter().find(|one| one.name == name));
        let taken = self
            .emoji
            .all
            .iter()
            .any(|one| one.answers_to(name) && old.is_none_or(|old| old.id != one.id));
        if taken || (previous.is_some() && old.is_none()) {
            return false;
        }
        let old = old.cloned();
        let emoji = CustomEmoji {
            id: old
                .as_ref()
                .map_or_else(|| ids::object(time::now_ms()), |old| old.id.clone()),
            name: name.to_owned(),
            aliases,
            extension: extension.to_owned(),
            updated: time::now_ms(),
            picture,
        };
        let mut data = json!({ "name": name, "extension": extension });
        if let Some(old) = &old {
            data["_id"] = json!(old.id);
            data["previousName"] = json!(old.name);
            data["previousExtension"] = json!(old.extension);
        }
        // Told twice: when it is stored, and when its picture is.
        let mut stored = data.clone();
        stored["aliases"] = json!(emoji.aliases);
        if old.is_some() {
            stored["newFile"] = json!(true);
        }
        data["newFile"] = json!(true);
        self.journal.put("emoji", &emoji);
        self.emoji.store(emoji);
        for data in [stored, data] {
            self.tell_emoji("updateEmojiCustom", &data);
        }
        true
    }

    /// Deletes an uploaded emoji; `false` when there is none of that id. Reactions with it stay.
    pub fn delete_emoji(&mut self, id: &str) -> bool {
        let Some(gone) = self.emoji.forget(id) else {
            return false;
        };
        self.journal.remove("emoji", id);
        self.emoji.removed.push((gone.id.clone(), time::now_ms()));
        self.tell_emoji("deleteEmojiCustom", &gone.shown());
        true
    }

    fn tell_emoji(&mut self, event: &str, data: &Value) {
        self.emit(
            "stream-notify-logged",
            event,
            &json!([{ "emojiData": data }]),
        );
    }
}
