//! Pictures of people and rooms (facts 2.6, capture 44). Whoever has one has an `avatarETag`; the
//! bytes are files beside the uploads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::State;
use crate::{error::Failure, ids, json, pictures, time};

/// Whose picture it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// A user, by id: a new username keeps the picture.
    User(String),
    /// A room, by id.
    Room(String),
}

impl Owner {
    /// The key in the journal.
    fn key(&self) -> String {
        match self {
            Self::User(id) => format!("user-{id}"),
            Self::Room(id) => format!("room-{id}"),
        }
    }
}

/// An uploaded picture.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Avatar {
    /// Whose.
    pub owner: Owner,
    /// Media type.
    pub kind: String,
    /// Since when, milliseconds.
    pub at: i64,
}

/// All of them, by what the journal calls them.
#[derive(Debug, Default)]
pub struct Avatars(BTreeMap<String, Avatar>);

impl Avatars {
    /// Somebody's picture.
    pub fn get(&self, owner: &Owner) -> Option<&Avatar> {
        self.0.get(&owner.key())
    }

    /// All.
    pub fn all(&self) -> impl Iterator<Item = &Avatar> {
        self.0.values()
    }

    /// Puts one in the place of an older one.
    pub fn store(&mut self, avatar: Avatar) {
        self.0.insert(avatar.owner.key(), avatar);
    }

    /// Forgets one by its key.
    pub fn forget(&mut self, key: &str) -> bool {
        self.0.remove(key).is_some()
    }
}

impl State {
    /// Where somebody's picture is.
    pub fn avatar_path(&self, owner: &Owner) -> PathBuf {
        self.files
            .directory()
            .join(format!("avatar-{}", owner.key()))
    }

    /// Keeps a picture, cut to the size that avatars have.
    ///
    /// # Errors
    /// When it is no picture.
    pub fn keep_avatar(&mut self, owner: Owner, bytes: &[u8]) -> Result<(), Failure> {
        let refused = |reason: String| Failure::coded("ufs: cannot upload file", &reason);
        let edge = self.settings.number("Accounts_AvatarSize");
        let edge = u32::try_from(edge).unwrap_or(200).clamp(1, 2000);
        let (bytes, kind) = pictures::avatar(bytes, edge).map_err(refused)?;
        std::fs::write(self.avatar_path(&owner), bytes)
            .map_err(|error| refused(error.to_string()))?;
        let avatar = Avatar {
            owner,
            kind: kind.to_owned(),
            at: time::now_ms(),
        };
        self.journal.put("avatars", &avatar);
        self.avatars.store(avatar);
        Ok(())
    }

    /// Removes a picture, if there is one.
    pub fn drop_avatar(&mut self, owner: &Owner) {
        let key = owner.key();
        if self.avatars.forget(&key) {
            self.journal.remove("avatars", &key);
            if let Err(error) = std::fs::remove_file(self.avatar_path(owner)) {
                tracing::warn!(%error, "a picture cannot be removed");
            }
        }
    }

    /// Gives a user a picture and tells everybody.
    ///
    /// # Errors
    /// When it is no picture.
    pub fn set_user_avatar(&mut self, uid: &str, bytes: &[u8]) -> Result<(), Failure> {
        self.keep_avatar(Owner::User(uid.to_owned()), bytes)?;
        let tag = ids::meteor();
        self.change_user(uid, |user| {
            user.doc.insert("avatarOrigin".to_owned(), json!("rest"));
            user.doc.insert("avatarETag".to_owned(), json!(tag));
        });
        self.tell_user_avatar(uid, Some(&tag));
        Ok(())
    }

    /// Takes a user's picture away and tells everybody, also when there was none.
    pub fn reset_user_avatar(&mut self, uid: &str) {
        self.drop_avatar(&Owner::User(uid.to_owned()));
        self.change_user(uid, |user| {
            user.doc.remove("avatarOrigin");
            user.doc.remove("avatarETag");
        });
        self.tell_user_avatar(uid, None);
    }

    fn tell_user_avatar(&mut self, uid: &str, tag: Option<&str>) {
        let name = self.users.get(uid).map_or("", |user| user.name());
        let mut event = json!({ "username": name });
        if let Some(tag) = tag {
            event["etag"] = json!(tag);
        }
        self.emit("stream-notify-logged", "updateAvatar", &json!([event]));
    }

    /// Gives a room a picture, or takes it away, and says so in it.
    ///
    /// # Errors
    /// When it is no picture.
    pub fn change_room_avatar(
        &mut self,
        uid: &str,
        rid: &str,
        bytes: Option<&[u8]>,
    ) -> Result<(), Failure> {
        let owner = Owner::Room(rid.to_owned());
        let mut event = json!({ "rid": rid });
        let author = self.users.get(uid).ok_or(Failure::NotLoggedIn)?.author();
        match bytes {
            Some(bytes) => {
                self.keep_avatar(owner, bytes)?;
                let tag = ids::meteor();
                event["etag"] = json!(tag);
                self.change_room(rid, |room| {
                    room.insert("avatarOrigin".to_owned(), json!("upload"));
                    room.insert("avatarETag".to_owned(), json!(tag));
                });
            }
            None => {
                self.drop_avatar(&owner);
                // A room without a picture has a tag, too: the time.
                let tag = time::now_ms().to_string();
                self.change_room(rid, |room| {
                    room.remove("avatarOrigin");
                    room.insert("avatarETag".to_owned(), json!(tag));
                });
            }
        }
        self.emit("stream-notify-logged", "updateAvatar", &json!([event]));
        self.system_message(
            "room_changed_avatar",
            rid,
            "",
            author,
            serde_json::Value::Null,
        );
        Ok(())
    }

    /// Gives the server's own account its picture.
    pub(super) fn seed_avatar(&mut self) {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let cat = image::RgbImage::from_pixel(8, 8, image::Rgb([0xF5, 0x45, 0x5C]));
        let written = cat.write_to(&mut bytes, image::ImageFormat::Png);
        let kept = self.keep_avatar(Owner::User("rocket.cat".to_owned()), bytes.get_ref());
        if written.is_err() || kept.is_err() {
            tracing::warn!("the server's own account has no picture");
        }
    }

    /// Whether somebody may change another's picture.
    pub fn may_edit_avatars(&self, uid: &str) -> bool {
        self.may(uid, "edit-other-user-avatar")
    }

    /// The room's name, for the letters of its picture; `None` when there is no room.
    pub fn room_label(&self, rid: &str) -> Option<String> {
        let room = self.room(rid)?;
        let named = ["fname", "name"]
            .iter()
            .map(|key| json::text(room, key))
            .find(|name| !name.is_empty());
        Some(named.unwrap_or(rid).to_owned())
    }
}
