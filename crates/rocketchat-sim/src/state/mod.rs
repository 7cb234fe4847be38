//! Everything the server knows, behind one lock. Changes go through the methods of the submodules:
//! each stores, notes in the journal and shows on the streams, in this order.

pub mod apps;
pub mod avatars;
pub mod emoji;
pub mod files;
pub mod messages;
pub mod rooms;
pub mod teams;
pub mod users;
pub mod webhooks;

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::{
    ids,
    journal::Journal,
    json::{self, Doc},
    limiter::Limiter,
    misbehave::Rules,
    options::Options,
    permissions::Permissions,
    realtime::hub::Hub,
    settings::Settings,
    time,
};
use avatars::{Avatar, Avatars};
use emoji::{CustomEmoji, Emoji};
use files::{Files, Upload};
use messages::{Deleted, Message, Messages};
use rooms::{JoinCode, Removed, Rooms, SavedRoom, Sub};
use teams::{Team, Teams};
use users::{User, Users, password_digest};

/// Failed logins of one name, for the block after too many.
#[derive(Clone, Copy, Debug, Default)]
pub struct FailedLogins {
    /// How many since the last success or the end of a block.
    pub count: i64,
    /// When the last one was.
    pub last: i64,
}

/// The whole state.
pub struct State {
    /// How the simulator was started.
    pub options: Options,
    /// Settings.
    pub settings: Settings,
    /// Permission table.
    pub permissions: Permissions,
    /// Accounts.
    pub users: Users,
    /// Rooms and subscriptions.
    pub rooms: Rooms,
    /// Teams.
    pub teams: Teams,
    /// Messages and trash.
    pub messages: Messages,
    /// Uploaded emoji.
    pub emoji: Emoji,
    /// Pictures of people and rooms.
    pub avatars: Avatars,
    /// Uploaded files.
    pub files: Files,
    /// Incoming webhooks by id.
    pub webhooks: BTreeMap<String, Doc>,
    /// Apps by id.
    pub apps: BTreeMap<String, apps::App>,
    /// Connected sockets and their streams.
    pub hub: Hub,
    /// What survives a crash.
    pub journal: Journal,
    /// Counting windows.
    pub limiter: Limiter,
    /// Misbehaviour that was asked for.
    pub rules: Rules,
    /// Requests by "METHOD route".
    pub stats: BTreeMap<String, u64>,
    /// Failed logins by lower-case name.
    pub failed_logins: HashMap<String, FailedLogins>,
    /// Until when a token hash needs no second factor.
    pub second_factor: HashMap<String, i64>,
    /// Whether anybody ever starred a message; REST then shows everybody its own stars only.
    pub stars: bool,
    /// When this state began.
    pub started: i64,
}

impl State {
    /// A server as after its first start, or as the journal has it.
    pub fn open(options: Options, site_url: &str) -> std::io::Result<Self> {
        let lines = match &options.data {
            Some(directory) => Journal::read(directory)?,
            None => Vec::new(),
        };
        let mut state = Self {
            settings: Settings::fresh(&options, site_url),
            permissions: Permissions::default(),
            users: Users::default(),
            rooms: Rooms::default(),
            teams: Teams::default(),
            messages: Messages::default(),
            emoji: Emoji::default(),
            avatars: Avatars::default(),
            files: Files::new(options.data.as_ref().map(|data| data.join("files")))?,
            webhooks: BTreeMap::new(),
            apps: BTreeMap::new(),
            hub: Hub::default(),
            journal: Journal::default(),
            limiter: Limiter::default(),
            rules: Rules::default(),
            stats: BTreeMap::new(),
            failed_logins: HashMap::new(),
            second_factor: HashMap::new(),
            stars: false,
            started: time::now_ms(),
            options,
        };
        for line in lines {
            state.replay(line);
        }
        state.sweep_files()?;
        if state.users.count() == 0 {
            state.seed();
        }
        if state.options.site_url.is_some() {
            state.settings.set("Site_Url", json!(site_url));
        }
        if let Some(directory) = &state.options.data {
            state.journal = Journal::start(directory, &state.snapshot())?;
        }
        Ok(state)
    }

    fn seed(&mut self) {
        let now = time::now_ms();
        let cat = json::doc(json!({
            "_id": "rocket.cat", "createdAt": json::date(now), "name": "Rocket.Cat", "username": "rocket.cat",
            "status": "online", "statusDefault": "online", "utcOffset": 0, "active": true, "type": "bot",
            "roles": ["bot"], "avatarETag": ids::meteor(), "_updatedAt": json::date(now),
        }));
        let seq = self.users.next_seq();
        self.save_user(User {
            doc: cat,
            seq,
            password: None,
            tokens: Vec::new(),
        });
        self.seed_avatar();
        let name = self.options.admin_username.clone();
        let admin = json::doc(json!({
            "_id": ids::object(now), "createdAt": json::date(now), "avatarOrigin": "none", "name": "Admin",
            "username": name, "status": "offline", "statusDefault": "online", "utcOffset": 0, "active": true,
            "type": "user", "roles": ["admin"], "emails": [{ "address": format!("{name}@sim.invalid"), "verified": false }],
            "_updatedAt": json::date(now),
        }));
        let password = Some(password_digest(&self.options.admin_password));
        let seq = self.users.next_seq();
        self.save_user(User {
            doc: admin,
            seq,
            password,
            tokens: Vec::new(),
        });
        self.insert_room(json::doc(json!({
            "_id": "GENERAL", "ts": json::date(now), "t": "c", "name": "general", "usernames": [], "msgs": 0,
            "usersCount": 0, "_updatedAt": json::date(now), "default": true,
            "u": { "_id": "rocket.cat", "username": "rocket.cat", "name": "Rocket.Cat" },
        })));
    }

    fn replay(&mut self, mut line: Value) {
        let collection = line["c"].as_str().unwrap_or_default().to_owned();
        if collection.is_empty() {
            let id = line["i"].as_str().unwrap_or_default();
            match line["r"].as_str() {
                Some("rooms") => {
                    self.rooms.forget(id);
                    self.messages.forget_room(id);
                }
                Some("subs") => {
                    if let Some((rid, uid)) = id.split_once('\u{0}') {
                        self.rooms.forget_sub(rid, uid);
                    }
                }
                Some("teams") => {
                    self.teams.forget(id);
                }
                Some("users") => {
                    self.users.forget(id);
                }
                Some("emoji") => {
                    self.emoji.forget(id);
                }
                Some("avatars") => {
                    self.avatars.forget(id);
                }
                Some("files") => {
                    self.files.forget(id);
                }
                Some("webhooks") => {
                    self.webhooks.remove(id);
                }
                _ => {}
            }
            return;
        }
        let document = line["d"].take();
        let read = match collection.as_str() {
            "users" => serde_json::from_value::<User>(document).map(|user| self.users.store(user)),
            "rooms" => {
                serde_json::from_value::<SavedRoom>(document).map(|room| self.rooms.store(room))
            }
            "teams" => serde_json::from_value::<Team>(document).map(|team| self.teams.store(team)),
            "join_codes" => serde_json::from_value::<JoinCode>(document)
                .map(|code| self.rooms.keep_join_code(code)),
            "subs" => serde_json::from_value::<Sub>(document).map(|sub| self.rooms.store_sub(sub)),
            "messages" => serde_json::from_value::<Message>(document).map(|message| {
                self.stars |= message.doc.contains_key("starred");
                self.messages.store(message);
            }),
            "trash" => {
                serde_json::from_value::<Deleted>(document).map(|gone| self.messages.bury(gone))
            }
            "removed_rooms" => serde_json::from_value::<Removed>(document)
                .map(|gone| self.rooms.removed_rooms.push(gone)),
            "removed_subs" => serde_json::from_value::<Removed>(document)
                .map(|gone| self.rooms.removed_subs.push(gone)),
            "emoji" => {
                serde_json::from_value::<CustomEmoji>(document).map(|emoji| self.emoji.store(emoji))
            }
            "avatars" => {
                serde_json::from_value::<Avatar>(document).map(|one| self.avatars.store(one))
            }
            "files" => {
                serde_json::from_value::<Upload>(document).map(|file| self.files.store(file))
            }
            "webhooks" => {
                let hook = json::doc(document);
                self.webhooks
                    .insert(json::text(&hook, "_id").to_owned(), hook);
                Ok(())
            }
            "permissions" => {
                let id = document["_id"].as_str().unwrap_or_default().to_owned();
                let roles = json::texts(&json::doc(document), "roles");
                self.permissions.set(&id, roles);
                Ok(())
            }
            "settings" => {
                let id = document["_id"].as_str().unwrap_or_default().to_owned();
                self.settings.set(&id, document["value"].clone());
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = read {
            tracing::warn!(%error, collection, "a journal document is not understood and skipped");
        }
    }

    fn snapshot(&self) -> Vec<Value> {
        let mut lines = Vec::new();
        let settings = self.settings.shown(false).into_iter();
        lines.extend(settings.map(
            |one| json!({ "c": "settings", "d": { "_id": one["_id"], "value": one["value"] } }),
        ));
        lines.extend(
            self.permissions
                .shown()
                .iter()
                .map(|one| json!({ "c": "permissions", "d": one })),
        );
        lines.extend(
            self.webhooks
                .values()
                .map(|hook| json!({ "c": "webhooks", "d": hook })),
        );
        lines.extend(
            self.emoji
                .all
                .iter()
                .map(|emoji| json!({ "c": "emoji", "d": emoji })),
        );
        lines.extend(
            self.avatars
                .all()
                .map(|avatar| json!({ "c": "avatars", "d": avatar })),
        );
        lines.extend(
            self.files
                .in_order()
                .into_iter()
                .map(|file| json!({ "c": "files", "d": file })),
        );
        lines.extend(
            self.users
                .in_order()
                .into_iter()
                .map(|user| json!({ "c": "users", "d": user })),
        );
        lines.extend(
            self.rooms
                .saved()
                .iter()
                .map(|room| json!({ "c": "rooms", "d": room })),
        );
        lines.extend(
            self.rooms
                .join_codes()
                .map(|code| json!({ "c": "join_codes", "d": code })),
        );
        lines.extend(
            self.teams
                .in_order()
                .into_iter()
                .map(|team| json!({ "c": "teams", "d": team })),
        );
        lines.extend(
            self.rooms
                .all_subs()
                .map(|sub| json!({ "c": "subs", "d": sub })),
        );
        lines.extend(
            self.rooms
                .removed_rooms
                .iter()
                .map(|gone| json!({ "c": "removed_rooms", "d": gone })),
        );
        lines.extend(
            self.rooms
                .removed_subs
                .iter()
                .map(|gone| json!({ "c": "removed_subs", "d": gone })),
        );
        lines.extend(
            self.messages
                .all_trash()
                .map(|gone| json!({ "c": "trash", "d": gone })),
        );
        lines.extend(
            self.messages
                .all()
                .into_iter()
                .map(|message| json!({ "c": "messages", "d": message })),
        );
        lines
    }

    /// Changes a setting and tells everybody when it is public; false when there is none.
    pub fn change_setting(&mut self, id: &str, value: Value) -> bool {
        if !self.settings.set(id, value.clone()) {
            return false;
        }
        self.journal
            .put("settings", &json!({ "_id": id, "value": value }));
        if id.contains("Rate_Limit") {
            self.limiter.clear();
        }
        if self.settings.get(id).is_some_and(|setting| setting.public) {
            self.emit(
                "stream-notify-all",
                "public-settings-changed",
                &json!(["updated", { "_id": id, "value": value }]),
            );
        }
        true
    }

    /// `__rooms` of a user: absent until the first room was joined.
    pub fn joined_rooms(&self, uid: &str) -> Vec<String> {
        self.subs_of_user(uid)
            .iter()
            .filter(|sub| json::text(&sub.doc, "t") != "d")
            .map(|sub| json::text(&sub.doc, "rid").to_owned())
            .collect()
    }

    /// The full document of a user as administrators see it.
    pub fn full_user(&self, uid: &str) -> Option<Doc> {
        let mut doc = self.users.get(uid)?.doc.clone();
        let rooms = self.joined_rooms(uid);
        if !rooms.is_empty() {
            doc.insert("__rooms".to_owned(), json!(rooms));
        }
        Some(doc)
    }
}
