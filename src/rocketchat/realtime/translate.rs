//! From what the streams deliver to events.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::event::{Bulk, Change, Event, Logged, OnRoom, Pictured, Unreadable};
use super::frame::Frame;
use crate::rocketchat::documents::{Message, RoomType, Timestamp, UserRef, read_one};
use crate::rocketchat::ids::{RocketMessageId, RocketRoomId, RocketUserId, Username};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    event_name: String,
    #[serde(borrow)]
    args: Vec<&'a RawValue>,
}

/// What a frame tells of what happened; none when it is of no interest, or about the
/// connection itself. Pure: it may be called with anything.
///
/// # Errors
/// When it should have told something and cannot be read.
pub fn event_of_frame(text: &str) -> Result<Option<Event>, Unreadable> {
    match Frame::parse(text)? {
        Frame::Changed { collection, fields } => event(&collection, fields),
        _ => Ok(None),
    }
}

/// What a frame of a stream tells; none when it is of no interest.
///
/// # Errors
/// When it should have told something and cannot be read.
pub(super) fn event(collection: &str, fields: &RawValue) -> Result<Option<Event>, Unreadable> {
    let known = collection.strip_prefix("stream-");
    let Some(known) = known.filter(|name| {
        matches!(
            *name,
            "room-messages" | "notify-room" | "notify-user" | "notify-logged" | "notify-all"
        )
    }) else {
        return Ok(None);
    };
    let maybe_message = !known.ends_with("-logged") && !known.ends_with("-all");
    let raw = fields.get();
    let fields = raw
        .starts_with('{')
        .then(|| serde_json::from_str::<Fields>(raw).ok())
        .flatten();
    let fields = fields.ok_or_else(|| Unreadable {
        what: format!("an event of {collection}"),
        maybe_message,
        rid: None,
    })?;
    match known {
        "room-messages" => message(&fields).map(Some),
        "notify-room" => in_room(&fields),
        "notify-user" => own(&fields),
        "notify-logged" => logged(fields).map(|logged| Some(Event::Logged(logged))),
        _ => Ok(Some(for_all(fields))),
    }
}

impl Fields<'_> {
    fn read<T: DeserializeOwned>(&self, index: usize) -> Option<T> {
        serde_json::from_str(self.args.get(index)?.get()).ok()
    }

    fn document<T: DeserializeOwned>(&self, index: usize) -> Option<T> {
        read_one(self.args.get(index)?)
    }

    fn values(&self) -> Value {
        let read = |raw: &&RawValue| serde_json::from_str(raw.get()).unwrap_or(Value::Null);
        Value::Array(self.args.iter().map(read).collect())
    }

    /// The room that a document of the arguments names.
    fn rid(&self, index: usize) -> Option<RocketRoomId> {
        #[derive(Deserialize)]
        struct Named {
            rid: RocketRoomId,
        }
        self.document::<Named>(index).map(|named| named.rid)
    }
}

fn message(fields: &Fields<'_>) -> Result<Event, Unreadable> {
    let Some(message) = fields.document::<Message>(0) else {
        let named = (fields.event_name != "__my_messages__")
            .then(|| RocketRoomId::parse(fields.event_name.as_str()).ok())
            .flatten();
        return Err(Unreadable {
            what: "a message".to_owned(),
            maybe_message: true,
            rid: fields.rid(0).or(named),
        });
    };
    let extra: Value = fields.read(1).unwrap_or_default();
    Ok(Event::Message {
        message: Box::new(message),
        room: OnRoom {
            participant: extra["roomParticipant"].as_bool(),
            kind: extra["roomType"].as_str().map(RoomType::from),
            name: extra["roomName"].as_str().map(str::to_owned),
        },
    })
}

fn in_room(fields: &Fields<'_>) -> Result<Option<Event>, Unreadable> {
    let Some((rid, event)) = fields.event_name.split_once('/') else {
        return Ok(None);
    };
    let lost = |what: &str, maybe_message| Unreadable {
        what: what.to_owned(),
        maybe_message,
        rid: RocketRoomId::parse(rid).ok(),
    };
    let room = || RocketRoomId::parse(rid).map_err(|_| lost("an event of a room", true));
    match event {
        "deleteMessage" => {
            #[derive(Deserialize)]
            struct Gone {
                #[serde(rename = "_id")]
                id: RocketMessageId,
            }
            let gone: Gone = fields.document(0).ok_or_else(|| lost("a deletion", true))?;
            Ok(Some(Event::Deleted {
                rid: room()?,
                id: gone.id,
            }))
        }
        "deleteMessageBulk" => {
            let bulk: Value = fields
                .read(0)
                .filter(Value::is_object)
                .ok_or_else(|| lost("a bulk deletion", true))?;
            bulk_deletion(room()?, &bulk)
                .ok_or_else(|| lost("a bulk deletion", true))
                .map(Some)
        }
        "user-activity" => {
            let name: String = fields.read(0).ok_or_else(|| lost("an activity", false))?;
            let extra: Value = fields.read(2).unwrap_or_default();
            let tmid = extra["tmid"].as_str();
            Ok(Some(Event::UserActivity {
                rid: room()?,
                name,
                activities: fields.read(1).unwrap_or_default(),
                tmid: tmid.and_then(|id| RocketMessageId::parse(id).ok()),
            }))
        }
        _ => Ok(None),
    }
}

/// None when a bound or a list cannot be read: taken without it, the predicate would
/// delete more than the server did.
fn bulk_deletion(rid: RocketRoomId, bulk: &Value) -> Option<Event> {
    let read_list = |key: &str| -> Option<Vec<String>> {
        match &bulk[key] {
            Value::Null => Some(Vec::new()),
            list => serde_json::from_value(list.clone()).ok(),
        }
    };
    let bound = |key: &str| -> Option<Option<Timestamp>> {
        match &bulk["ts"][key] {
            Value::Null => Some(None),
            date => serde_json::from_value(date.clone()).ok().map(Some),
        }
    };
    if !matches!(bulk["ts"], Value::Null | Value::Object(_)) {
        return None;
    }
    let flag = |key: &str| bulk[key].as_bool().unwrap_or(false);
    let ids = read_list("ids")?;
    let users = read_list("users")?;
    let (gt, gte, lt, lte) = (bound("$gt")?, bound("$gte")?, bound("$lt")?, bound("$lte")?);
    Some(Event::DeletedBulk {
        rid,
        ids: ids
            .into_iter()
            .map(RocketMessageId::parse)
            .collect::<Result<_, _>>()
            .ok()?,
        predicate: Bulk {
            inclusive: gte.is_some() || lte.is_some(),
            after: gt.or(gte),
            before: lt.or(lte),
            users: users
                .into_iter()
                .map(Username::parse)
                .collect::<Result<_, _>>()
                .ok()?,
            exclude_pinned: flag("excludePinned"),
            ignore_discussion: flag("ignoreDiscussion"),
            ignore_threads: flag("ignoreThreads"),
            files_only: flag("filesOnly"),
        },
    })
}

fn own(fields: &Fields<'_>) -> Result<Option<Event>, Unreadable> {
    let Some((_, event)) = fields.event_name.split_once('/') else {
        return Ok(None);
    };
    let lost = |what: &str, maybe_message: bool, rid| Unreadable {
        what: what.to_owned(),
        maybe_message,
        rid,
    };
    match event {
        "subscriptions-changed" => match (change(fields), fields.document(1)) {
            (Some(change), Some(subscription)) => Ok(Some(Event::SubscriptionChanged {
                change,
                subscription: Box::new(subscription),
            })),
            _ => Err(lost("a change of a subscription", true, fields.rid(1))),
        },
        "rooms-changed" => match (change(fields), fields.document(1)) {
            (Some(change), Some(room)) => Ok(Some(Event::RoomChanged {
                change,
                room: Box::new(room),
            })),
            _ => Err(lost("a change of a room", true, None)),
        },
        "message" => match fields.document(0) {
            Some(message) => Ok(Some(Event::Ephemeral(Box::new(message)))),
            // Nothing is stored of these: there is nothing to read back.
            None => Err(lost("an ephemeral message", false, fields.rid(0))),
        },
        "notification" => Ok(Some(Event::Notification(
            fields.read(0).unwrap_or(Value::Null),
        ))),
        _ => Ok(None),
    }
}

fn change(fields: &Fields<'_>) -> Option<Change> {
    match fields.read::<String>(0)?.as_str() {
        "inserted" => Some(Change::Inserted),
        "updated" | "changed" => Some(Change::Updated),
        "removed" => Some(Change::Removed),
        _ => None,
    }
}

fn logged(fields: Fields<'_>) -> Result<Logged, Unreadable> {
    let lost = |what: &str| Unreadable {
        what: what.to_owned(),
        maybe_message: false,
        rid: None,
    };
    match fields.event_name.as_str() {
        Logged::AVATAR => {
            let told: Value = fields.read(0).unwrap_or_default();
            let of = match (&told["rid"], &told["username"]) {
                (Value::String(rid), _) => RocketRoomId::parse(rid.as_str()).map(Pictured::Room),
                (_, Value::String(name)) => Username::parse(name.as_str()).map(Pictured::User),
                _ => return Err(lost("a change of a picture")),
            };
            Ok(Logged::Avatar {
                of: of.map_err(|_| lost("a change of a picture"))?,
                etag: told["etag"].as_str().map(str::to_owned),
            })
        }
        Logged::NAME => {
            let user: UserRef = fields
                .document(0)
                .ok_or_else(|| lost("a change of a name"))?;
            Ok(Logged::Name {
                id: user.id,
                name: user.name,
                username: user.username,
            })
        }
        Logged::STATUS => {
            let told: Value = fields.read(0).unwrap_or_default();
            let id = told[0].as_str().map(RocketUserId::parse);
            match id {
                Some(Ok(id)) => Ok(Logged::Status { id }),
                _ => Err(lost("a change of a status")),
            }
        }
        Logged::GONE => {
            #[derive(Deserialize)]
            struct Gone {
                #[serde(rename = "userId")]
                id: RocketUserId,
            }
            let gone: Gone = fields
                .document(0)
                .ok_or_else(|| lost("a deletion of an account"))?;
            Ok(Logged::Gone { id: gone.id })
        }
        name if Logged::EMOJI.contains(&name) => Ok(Logged::Emoji),
        _ => Ok(Logged::Other {
            args: fields.values(),
            name: fields.event_name,
        }),
    }
}

fn for_all(fields: Fields<'_>) -> Event {
    if fields.event_name == "public-settings-changed"
        && let Some(mut setting) = fields.read::<Value>(1)
        && let Some(id) = setting["_id"].as_str().map(str::to_owned)
    {
        return Event::Setting {
            id,
            value: setting
                .get_mut("value")
                .map(Value::take)
                .unwrap_or_default(),
        };
    }
    Event::All {
        args: fields.values(),
        name: fields.event_name,
    }
}
