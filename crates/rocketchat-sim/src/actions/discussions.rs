//! Discussions (facts 3.3, capture 50): rooms that hang on another one, with a message there that
//! tells of them.

use serde_json::json;

use crate::{
    actions::create::NewRoom,
    error::Failure,
    ids,
    json::{self, Doc},
    state::State,
    time,
};

/// What `rooms.createDiscussion` takes.
#[derive(Debug, Default)]
pub struct NewDiscussion {
    /// The room that it hangs on.
    pub parent: String,
    /// The message that it is about; empty for none.
    pub about: String,
    /// Its title.
    pub title: String,
    /// Its first message; empty for none.
    pub reply: String,
    /// Who is in it besides its creator; unknown names are skipped.
    pub users: Vec<String>,
    /// Its topic; the parent's name when empty.
    pub topic: String,
    /// Encrypted.
    pub encrypted: bool,
}

fn refused() -> Failure {
    let reason = "You are not allowed to create a discussion";
    Failure::coded("error-action-not-allowed", reason).with(json!({ "method": "createDiscussion" }))
}

impl State {
    /// Makes a discussion and returns it as the answer shows it: before anybody is counted.
    ///
    /// # Errors
    ///
    /// Without the right to begin discussions or to write in the parent, or in a discussion.
    pub fn create_discussion(&mut self, uid: &str, new: NewDiscussion) -> Result<Doc, Failure> {
        let allowed = self.settings.on("Discussion_enabled")
            && ["start-discussion", "start-discussion-other-user"]
                .iter()
                .any(|permission| self.may_in(uid, permission, &new.parent));
        if !allowed {
            return Err(refused());
        }
        let invalid = || {
            Failure::coded("error-invalid-room", "Invalid room")
                .with(json!({ "method": "DiscussionCreation" }))
        };
        let about = self.messages.get(&new.about).map(|one| one.doc.clone());
        if !new.about.is_empty()
            && about
                .as_ref()
                .is_none_or(|doc| json::text(doc, "rid") != new.parent)
        {
            return Err(
                Failure::coded("error-invalid-message", "Invalid message provided.")
                    .with(json!({ "method": "DiscussionCreation" })),
            );
        }
        let Some(parent) = self.room(&new.parent).cloned() else {
            return Err(invalid());
        };
        if parent.contains_key("prid") {
            let reason = "Cannot create nested discussions";
            return Err(Failure::coded("error-nested-discussion", reason)
                .with(json!({ "method": "DiscussionCreation" })));
        }
        if !self.may_access(uid, &new.parent) {
            return Err(Failure::plain("error-not-allowed"));
        }
        let mut members = new.users.clone();
        if let Some(author) = about.as_ref().and_then(|doc| doc["u"]["username"].as_str()) {
            members.push(author.to_owned());
        }
        let parent_name = json::text(&parent, "name").to_owned();
        let mut extra = Doc::new();
        if let Some(doc) = &about {
            extra.insert("description".to_owned(), doc["msg"].clone());
        }
        let topic = if new.topic.is_empty() {
            &parent_name
        } else {
            &new.topic
        };
        if !topic.is_empty() {
            extra.insert("topic".to_owned(), json!(topic));
        }
        extra.insert("prid".to_owned(), json!(new.parent));
        extra.insert("encrypted".to_owned(), json!(new.encrypted));
        let kind = if json::text(&parent, "t") == "c" {
            "c"
        } else {
            "p"
        };
        let name = ids::meteor();
        let room = self.create_named_room(
            uid,
            &name,
            NewRoom {
                kind,
                name: new.title.clone(),
                members,
                extra,
                ..NewRoom::default()
            },
        )?;
        let rid = json::text(&room, "_id").to_owned();
        let by = self.author_of(uid);
        let quote = about.as_ref().map(|doc| {
            json!([{
                "text": doc["msg"], "author_name": doc["u"]["username"],
                "author_icon": format!("/avatar/{}", doc["u"]["username"].as_str().unwrap_or("")),
                "message_link": format!("{}?msg={}", path_of(&parent), new.about), "ts": doc["ts"],
            }])
        });
        if let Some(quote) = &quote {
            let now = time::now_ms();
            self.insert_message(json::doc(json!({
                "_id": ids::object(now), "rid": rid, "msg": "", "u": by, "ts": json::date(now),
                "_updatedAt": json::date(now), "attachments": quote,
            })));
        }
        let mut told = json!({ "drid": rid });
        if let Some(quote) = quote {
            told["attachments"] = quote;
        }
        let told = self.system_message_doc("discussion-created", &new.parent, &new.title, by, told);
        self.after_news(uid, &new.parent, &told);
        if !new.reply.is_empty() {
            let message = json::doc(json!({ "rid": rid, "msg": new.reply }));
            let prepared = self.prepare_send(uid, message, None, false)?;
            self.commit_send(prepared)?;
        }
        let mut shown = room;
        shown.insert("rid".to_owned(), json!(rid));
        shown.insert("inserted".to_owned(), json!(true));
        shown.insert("usersCount".to_owned(), json!(0));
        Ok(shown)
    }

    /// Writes into the message that tells of a discussion how many messages there were before this
    /// one and when the last was.
    pub fn count_in_discussion(&mut self, rid: &str) {
        let Some(room) = self.room(rid).filter(|room| room.contains_key("prid")) else {
            return;
        };
        let (parent, count) = (
            json::text(room, "prid").to_owned(),
            json::number(room, "msgs"),
        );
        let last = room.get("lm").cloned();
        let teller = self
            .messages
            .newest_first(&parent, i64::MIN, i64::MAX)
            .find(|one| json::text(&one.doc, "drid") == rid)
            .map(|one| json::text(&one.doc, "_id").to_owned());
        if let Some(id) = teller {
            self.change_message(&id, |doc| {
                doc.insert("dcount".to_owned(), json!(count));
                if let Some(last) = last {
                    doc.insert("dlm".to_owned(), last);
                }
            });
        }
    }
}

/// Where the web app shows a room.
fn path_of(room: &Doc) -> String {
    let name = json::text(room, "name");
    match json::text(room, "t") {
        "c" => format!("/channel/{name}"),
        "p" => format!("/group/{name}"),
        _ => format!("/direct/{}", json::text(room, "_id")),
    }
}
