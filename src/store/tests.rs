#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use ruma::{OwnedEventId, event_id, room_id, user_id};

use super::*;
use crate::rocketchat::rest::Credentials;
use crate::rocketchat::{FileId, RocketMessageId};
use crate::secret::Secret;

const CACHE: u64 = 4 * 1024 * 1024;

pub(super) fn open(directory: &Path) -> Result<Store, StoreError> {
    Store::open(directory, CACHE, "example.org", "_rocketchat_")
}

fn event(id: &str) -> NewEvent {
    NewEvent {
        event_id: OwnedEventId::try_from(id).unwrap(),
        room_id: room_id!("!room:example.org").to_owned(),
        sender: user_id!("@alice:example.org").to_owned(),
        kind: "m.room.message".into(),
        json: serde_json::value::to_raw_value(&serde_json::json!({ "event_id": id })).unwrap(),
    }
}

fn ids(accepted: &[Accepted]) -> Vec<&str> {
    accepted
        .iter()
        .map(|accepted| accepted.event.event_id.as_str())
        .collect()
}

#[tokio::test]
async fn an_event_is_accepted_once_also_across_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let first = store
        .accept(vec![event("$1"), event("$2"), event("$1")])
        .unwrap();
    assert_eq!(ids(&first), ["$1", "$2"]);
    store.flushed().await.unwrap();
    drop(store);

    let store = reopen(directory.path());
    let second = store.accept(vec![event("$2"), event("$3")]).unwrap();
    assert_eq!(ids(&second), ["$3"]);
    let waiting: Vec<_> = store.inbox().collect();
    assert_eq!(ids(&waiting), ["$1", "$2", "$3"]);
}

#[tokio::test]
async fn numbers_go_on_after_a_restart_whatever_else_there_is() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.accept(vec![event("$1"), event("$2")]).unwrap();
    // A key of every letter that is no number, as another kind of record would have it.
    for letter in 0x21..0x7f_u8 {
        let room = room_id!("!room:example.org");
        store
            .db
            .insert([&[letter], room.as_bytes()].concat(), b"{}")
            .unwrap();
    }
    store.note_told_of_encryption(room_id!("!r:e.org")).unwrap();
    store.flushed().await.unwrap();
    drop(store);
    let store = reopen(directory.path());
    let third = store.accept(vec![event("$3")]).unwrap();
    assert_eq!(third[0].number, 2);
    let waiting: Vec<_> = store.inbox().collect();
    assert_eq!(ids(&waiting), ["$1", "$2", "$3"]);
}

#[tokio::test]
async fn what_is_worked_is_struck_together_with_its_message() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let accepted = store.accept(vec![event("$1")]).unwrap();
    let message = message("m1", "$1");
    store
        .change()
        .message(&message)
        .strike(accepted[0].number)
        .commit()
        .unwrap();
    assert_eq!(store.inbox_len(), 0);
    let found = store
        .message_of_event(&message.room_id, event_id!("$1"))
        .unwrap();
    assert_eq!(found, Some(message.clone()));
    assert_eq!(
        store.message(&message.portal_id(), &message.id).unwrap(),
        Some(message)
    );
}

#[test]
fn a_message_is_found_in_its_own_room_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let message = message("m1", "$1");
    store.change().message(&message).commit().unwrap();
    let elsewhere = PortalId::own(&RocketRoomId::new("other"));
    assert_eq!(store.message(&elsewhere, &message.id).unwrap(), None);
    let other_room = room_id!("!other:example.org");
    assert_eq!(
        store.message_of_event(other_room, event_id!("$1")).unwrap(),
        None
    );
}

#[tokio::test]
async fn numbers_go_on_behind_those_of_before() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let before = store.accept(vec![event("$1")]).unwrap()[0].number;
    store.flushed().await.unwrap();
    drop(store);
    let after = reopen(directory.path()).accept(vec![event("$2")]).unwrap()[0].number;
    assert!(after > before);
}

#[tokio::test]
async fn those_who_flush_at_once_are_all_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()).unwrap());
    let waiters: Vec<_> = (0..50)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                store.accept(vec![event(&format!("${number}"))]).unwrap();
                store.flushed().await
            })
        })
        .collect();
    for waiter in waiters {
        waiter.await.unwrap().unwrap();
    }
    assert_eq!(store.inbox_len(), 50);
}

#[tokio::test]
async fn a_store_of_another_deployment_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.accept(vec![event("$1")]).unwrap();
    store.claim_workspace("one").unwrap();
    store.claim_workspace("one").unwrap();
    assert!(matches!(
        store.claim_workspace("two"),
        Err(StoreError::Foreign {
            what: "Rocket.Chat",
            ..
        })
    ));
    store.flushed().await.unwrap();
    drop(store);
    wait_until_closed(directory.path());
    let refused = |homeserver, prefix| {
        Store::open(directory.path(), CACHE, homeserver, prefix).expect_err("of another deployment")
    };
    assert!(
        refused("other.org", "_rocketchat_")
            .to_string()
            .contains("other.org")
    );
    wait_until_closed(directory.path());
    assert!(refused("example.org", "rc_").to_string().contains("rc_"));
}

#[tokio::test]
async fn a_store_that_holds_nothing_yet_belongs_to_nobody() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), CACHE, "exmaple.org", "_rocketchat_").unwrap());
    wait_until_closed(directory.path());
    open(directory.path()).expect("the mistake of the first start is mended");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let newer = Identity {
        schema: SCHEMA + 1,
        homeserver: "example.org".into(),
        workspace: None,
        ghost_prefix: "_rocketchat_".into(),
    };
    store.put(&keys::identity(), &newer).unwrap();
    store.flushed().await.unwrap();
    drop(store);
    wait_until_closed(directory.path());
    assert!(matches!(
        open(directory.path()),
        Err(StoreError::Newer { what: "schema", .. })
    ));
}

#[test]
fn a_newer_record_is_refused_and_not_misread() {
    let bytes = br#"{"v":99,"r":{"rid":"x"}}"#;
    assert!(decode::<Portal>(bytes).is_err());
    let number = br#"{"v":99,"r":7}"#;
    assert!(matches!(
        decode::<Number>(number),
        Err(StoreError::Newer { found: 99, .. })
    ));
}

#[test]
fn a_record_that_cannot_be_read_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let portal = Portal::own(
        RocketRoomId::new("good"),
        room_id!("!room:example.org").to_owned(),
        PortalKind::Channel,
        "general".into(),
        0,
    );
    store.change().portal(&portal).commit().unwrap();
    let bad = keys::portal(&PortalId::own(&RocketRoomId::new("bad")));
    store.db.insert(bad, b"not json".as_slice()).unwrap();
    assert_eq!(store.portals(), [portal]);
}

#[test]
fn a_second_process_is_told_that_the_store_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let _store = open(directory.path()).unwrap();
    assert!(matches!(open(directory.path()), Err(StoreError::Locked)));
}

#[test]
fn events_that_arrived_long_ago_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    store.accept(vec![event("$new")]).unwrap();
    let old = keys::seen_event(event_id!("$old"));
    store.put(&old, &Number(1)).unwrap();
    assert_eq!(store.forget_old_events().unwrap(), 1);
    assert!(store.accept(vec![event("$new")]).unwrap().is_empty());
    assert_eq!(store.accept(vec![event("$old")]).unwrap().len(), 1);
}

fn message(id: &str, event: &str) -> Message {
    Message::new(
        &portal(),
        RocketMessageId::new(id),
        vec![OwnedEventId::try_from(event).unwrap()],
        user_id!("@alice:example.org").to_owned(),
        Origin::Matrix,
    )
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let _store = open(&path).unwrap();
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
}

#[test]
fn a_process_killed_while_it_opens_the_store_does_no_harm() {
    for written in [&b""[..], b"half of a snapshot, and not more"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let store = open(path).unwrap();
        store.change().portal(&portal()).commit().unwrap();
        drop(store);
        wait_until_closed(path);
        let unfinished = path.join("snap.7FFFFFFFFFFFFFFF.generating");
        std::fs::write(&unfinished, written).unwrap();
        let config = sled::Config::new().path(path).cache_capacity(CACHE);
        assert!(config.open().is_err(), "sled no longer needs our help");
        let store = open(path).unwrap();
        assert_eq!(store.portals().len(), 1);
        assert!(!unfinished.exists());
    }
}

#[test]
fn what_another_process_is_writing_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let _in_use = open(path).unwrap();
    let unfinished = path.join("snap.7FFFFFFFFFFFFFFF.generating");
    std::fs::write(&unfinished, "").unwrap();
    assert!(open(path).is_err());
    assert!(unfinished.exists());
}

/// The thread that flushes lets go of the store a moment after its owner did.
fn wait_until_closed(directory: &Path) {
    let config = sled::Config::new().path(directory).cache_capacity(CACHE);
    for _ in 0..1000 {
        if config.open().is_ok() {
            return;
        }
        std::thread::yield_now();
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("the store stays locked");
}

fn reopen(directory: &Path) -> Store {
    wait_until_closed(directory);
    open(directory).unwrap()
}

fn portal() -> Portal {
    Portal::own(
        RocketRoomId::new("GENERAL"),
        room_id!("!room:example.org").to_owned(),
        PortalKind::Channel,
        "general".into(),
        0,
    )
}

#[test]
fn a_long_message_is_found_by_each_of_its_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let long = Message {
        more: vec![RocketMessageId::new("m2")],
        ..message("m1", "$e")
    };
    store.change().message(&long).commit().unwrap();
    let rid = PortalId::own(&RocketRoomId::new("GENERAL"));
    let piece = RocketMessageId::new("m2");
    assert_eq!(store.message(&rid, &piece).unwrap(), Some(long));
    // One that is no longer a piece of it is for itself.
    let gone = Message {
        deleted: true,
        ..Message::new(
            &portal(),
            piece.clone(),
            Vec::new(),
            user_id!("@alice:example.org").to_owned(),
            Origin::Matrix,
        )
    };
    store.change().message(&gone).commit().unwrap();
    assert_eq!(store.message(&rid, &piece).unwrap(), Some(gone));
}

#[test]
fn what_happens_while_a_message_is_posted_stays() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let coming = Message {
        pending: true,
        ..message("m1", "$e")
    };
    assert_eq!(store.begin_message(&coming).unwrap(), None);
    assert_eq!(store.begin_message(&coming).unwrap(), Some(coming.clone()));
    let (rid, id) = (&coming.portal_id(), &coming.id);
    store
        .amend_message(rid, id, |message| message.deleted = true)
        .unwrap();
    store
        .finish_message(message("m1", "$e"), store.change())
        .unwrap();
    let finished = store.message(rid, id).unwrap().unwrap();
    assert!(finished.deleted && !finished.pending);
}

#[test]
fn what_fails_again_is_kept_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let room = room_id!("!room:example.org");
    for reason in ["first", "second"] {
        let letter = DeadLetter::new(
            Origin::Matrix,
            room.to_owned(),
            "$e",
            reason.to_owned(),
            &serde_json::Value::Null,
        );
        store.change().dead_letter(&letter).commit().unwrap();
    }
    let kept = store.dead_letters();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1.reason, "second");
    store.change().no_dead_letter(room, "$e").commit().unwrap();
    assert!(store.dead_letters().is_empty());
}

#[test]
fn a_file_becomes_the_first_message_that_is_found_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let portal = portal();
    let event = ruma::owned_event_id!("$file");
    let draft = Message::new(
        &portal,
        RocketMessageId::new("derived"),
        vec![event.clone()],
        ruma::owned_user_id!("@alice:example.org"),
        Origin::Matrix,
    );
    let new = FilePost {
        draft,
        puppet: RocketUserId::new("p"),
        uploads: Vec::new(),
        posted: None,
        posted_file: None,
        instead: None,
        tell: None,
    };
    let upload = |file: Option<&str>, at| Upload {
        file: file.map(FileId::from),
        name: "a.txt".into(),
        size: Some(5),
        at,
        maybe_posted: false,
    };
    // One that surely was not posted is forgotten for the next.
    store
        .note_upload(new.clone(), upload(Some("F0"), 1))
        .unwrap();
    store
        .note_upload(new.clone(), upload(Some("F1"), 2))
        .unwrap();
    let post = store.note_posting(new.clone(), true).unwrap();
    assert!(post.maybe_posted());
    let post = store
        .note_upload(new.clone(), upload(Some("F2"), 3))
        .unwrap();
    let files: Vec<_> = post.uploads.iter().flat_map(|one| &one.file).collect();
    assert_eq!(files, [&FileId::from("F1"), &FileId::from("F2")]);
    for file in &files {
        let found = store.file_post_of_upload(file).unwrap();
        assert_eq!(found.as_ref(), Some(&post));
    }
    let dropped = store.file_post_of_upload(&FileId::from("F0")).unwrap();
    assert!(dropped.is_none(), "what is dropped leaves no key");
    assert_eq!(store.db.scan_prefix(b"Q").count(), 2);
    // The echo of the first is quicker.
    let first = RocketMessageId::new("M1");
    let (adopted, was_gone) = store
        .adopt_file(new.clone(), &first, Some(&FileId::from("F1")))
        .unwrap();
    assert_eq!((adopted.posted, was_gone), (Some(first.clone()), false));
    let message = store.message_of_event(&portal.room_id, &event).unwrap();
    let message = message.unwrap();
    assert!(message.id == first && message.pending);
    let second = RocketMessageId::new("M2");
    let (other, _) = store.adopt_file(new.clone(), &second, None).unwrap();
    assert_eq!(other.posted, Some(first.clone()), "it stays the one");
    let said = store.say_instead(new, &second, "words", None).unwrap();
    assert_eq!((said.posted, said.instead), (Some(first), None));
    store.forget_old_files(3).unwrap();
    assert!(store.file_post(&portal.room_id, &event).unwrap().is_some());
    // Somebody may yet have it sent again.
    let letter = DeadLetter::new(
        Origin::Matrix,
        portal.room_id.clone(),
        event.as_str(),
        "no".to_owned(),
        &serde_json::Value::Null,
    );
    store.change().dead_letter(&letter).commit().unwrap();
    store.forget_old_files(4).unwrap();
    assert!(store.file_post(&portal.room_id, &event).unwrap().is_some());
    let change = store
        .change()
        .no_dead_letter(&portal.room_id, event.as_str());
    change.commit().unwrap();
    store.forget_old_files(4).unwrap();
    assert!(store.file_post(&portal.room_id, &event).unwrap().is_none());
    assert_eq!(store.db.scan_prefix(b"Q").count(), 0);
    let gone = store.file_post_of_upload(&FileId::from("F2")).unwrap();
    assert!(gone.is_none());
}

#[test]
fn who_was_told_of_one_form_is_not_taken_to_know_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let room = portal().room_id;
    let letter = |revision| DeadLetter {
        revision,
        untold: true,
        ..DeadLetter::new(
            Origin::RocketChat,
            room.clone(),
            "M1",
            "no".to_owned(),
            &serde_json::Value::Null,
        )
    };
    let kept = || {
        let kept = store.letter_of(&room, "M1").unwrap().unwrap();
        (kept.revision, kept.untold)
    };
    store.change().dead_letter(&letter(0)).commit().unwrap();
    assert_eq!(kept(), (0, true));
    store.change().dead_letter(&letter(7)).commit().unwrap();
    store.change().letter_told(&letter(0)).commit().unwrap();
    assert_eq!(kept(), (7, true));
    store.change().letter_told(&letter(7)).commit().unwrap();
    assert_eq!(kept(), (7, false));
    assert_eq!(store.dead_letters().len(), 1);
    let change = store.change().no_dead_letter(&room, "M1");
    change.commit().unwrap();
    store.change().letter_told(&letter(7)).commit().unwrap();
    assert!(store.letter_of(&room, "M1").unwrap().is_none());
}

#[test]
fn a_file_that_was_deleted_before_it_was_known_is_known_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let portal = portal();
    let id = RocketMessageId::new("M1");
    let alice = ruma::owned_user_id!("@alice:example.org");
    let draft = |events| Message::new(&portal, id.clone(), events, alice.clone(), Origin::Matrix);
    let gone = Message {
        deleted: true,
        ..draft(Vec::new())
    };
    store.change().message(&gone).commit().unwrap();
    let post = FilePost {
        draft: draft(vec![ruma::owned_event_id!("$file")]),
        puppet: RocketUserId::new("p"),
        uploads: Vec::new(),
        posted: None,
        posted_file: None,
        instead: None,
        tell: None,
    };
    let (_, was_gone) = store.adopt_file(post, &id, None).unwrap();
    assert!(was_gone);
    let message = store.message(&portal.id, &id).unwrap().unwrap();
    assert!(
        !message.deleted && !message.events.is_empty(),
        "to be deleted still"
    );
}

fn linked(message: &str, until: i64) -> FileLink {
    FileLink {
        file: LinkedFile {
            source: FileSource::Matrix {
                mxc: "mxc://example.org/abc".into(),
                encrypted: None,
            },
            name: "film.mp4".into(),
            media_type: "video/mp4".into(),
            size: Some(5),
            portal: PortalId::own(&RocketRoomId::new("r")),
            message: RocketMessageId::new(message),
        },
        until,
    }
}

#[test]
fn the_links_of_a_message_end_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let change = store.change().file_link("a", &linked("m1", 10));
    let change = change.file_link("b", &linked("m1", 10));
    change.file_link("c", &linked("m", 10)).commit().unwrap();
    let there = || ["a", "b", "c"].map(|id| store.file_link(id).unwrap().is_some());
    assert_eq!(there(), [true, true, true]);
    let of = |message| {
        let rid = PortalId::own(&RocketRoomId::new("r"));
        store.end_file_links(&rid, &RocketMessageId::new(message))
    };
    of("m1").unwrap();
    assert_eq!(there(), [false, false, true]);
    of("m1").unwrap();
    of("m").unwrap();
    assert_eq!(there(), [false, false, false]);
    assert!(
        store.db.scan_prefix(b"F").next().is_none(),
        "a mark is left"
    );
}

#[test]
fn an_edit_ends_the_links_to_what_it_takes_away() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let mut other = linked("m1", 10);
    other.file.source = FileSource::Matrix {
        mxc: "mxc://example.org/other".into(),
        encrypted: None,
    };
    let change = store.change().file_link("a", &linked("m1", 10));
    let change = change.file_link("b", &other);
    change.file_link("c", &linked("m2", 10)).commit().unwrap();
    let there = || ["a", "b", "c"].map(|id| store.file_link(id).unwrap().is_some());
    let end = |kept: Option<&str>| {
        let rid = PortalId::own(&RocketRoomId::new("r"));
        let kept = kept.map(<&ruma::MxcUri>::from);
        store.end_file_links_but(&rid, &RocketMessageId::new("m1"), kept)
    };
    end(Some("mxc://example.org/other")).unwrap();
    assert_eq!(there(), [false, true, true]);
    end(None).unwrap();
    assert_eq!(there(), [false, false, true]);
    assert_eq!(store.db.scan_prefix(b"F").count(), 1);
}

#[test]
fn links_that_have_ended_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let change = store.change().file_link("old", &linked("m1", 10));
    change.file_link("new", &linked("m1", 20)).commit().unwrap();
    assert_eq!(store.forget_ended_file_links(15).unwrap(), 1);
    assert!(store.file_link("old").unwrap().is_none());
    assert!(store.file_link("new").unwrap().is_some());
    assert_eq!(store.db.scan_prefix(b"F").count(), 1);
    assert!(store.file_link("new\0").unwrap().is_none());
}

#[test]
fn an_ended_portal_leaves_nothing_behind_and_takes_nothing_of_others_along() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let count = |store: &Store| store.db.iter().count();
    let before = count(&store);
    let with_everything = |rid: &str, room: &RoomId, is_own: bool| {
        let rid = RocketRoomId::new(rid);
        let mut portal = Portal::own(
            rid.clone(),
            room.to_owned(),
            PortalKind::Channel,
            "general".into(),
            0,
        );
        if !is_own {
            portal.id = PortalId::further(&rid, room);
        }
        let alice = user_id!("@alice:example.org");
        let ids = [format!("$1{room}"), format!("$2{room}")];
        let events: Vec<_> = ids
            .iter()
            .map(|id| OwnedEventId::try_from(id.as_str()).unwrap())
            .collect();
        let message = Message {
            more: vec![RocketMessageId::new("m2")],
            ..Message::new(
                &portal,
                RocketMessageId::new("m1"),
                vec![events[0].clone()],
                alice.to_owned(),
                Origin::Matrix,
            )
        };
        let reactions = Reactions {
            given: vec![Reaction {
                relayed: false,
                emoji: "tea".into(),
                username: "carol".into(),
                user: alice.to_owned(),
                origin: Origin::Matrix,
                event: events[1].clone(),
                repairs: 0,
                ending: false,
                given_at: 0,
                seen_there: false,
            }],
            ..Reactions::default()
        };
        let puppet = Puppet {
            matrix_id: alice.to_owned(),
            username: "mx_alice".into(),
            credentials: Credentials {
                user_id: RocketUserId::new("p"),
                token: Secret::new("t"),
            },
            own: false,
        };
        let thread = Thread {
            root: events[0].clone(),
            latest: events[0].clone(),
        };
        let letter = DeadLetter::new(
            Origin::Matrix,
            room.to_owned(),
            "$gone",
            "why".into(),
            &serde_json::Value::Null,
        );
        let link = FileLink {
            file: LinkedFile {
                source: FileSource::RocketChat {
                    file: FileId::new("f"),
                    reader: None,
                },
                name: "a".into(),
                media_type: "text/plain".into(),
                size: None,
                portal: portal.id.clone(),
                message: message.id.clone(),
            },
            until: 0,
        };
        store
            .change()
            .portal(&portal)
            .cursor(&portal.id, 5)
            .message(&message)
            .edit_event(&message, &events[1])
            .reactions(&message, &reactions)
            .thread(&portal, &message.id, &thread)
            .dead_letter(&letter)
            .file_link(&format!("link {room}"), &link)
            .ghost_in_room(room, user_id!("@_rocketchat_carol:example.org"))
            .puppet_in_room(&portal.id, &puppet)
            .commit()
            .unwrap();
        store
            .amend_room_state(&portal.id, |state| state.said = 1)
            .unwrap();
        store
            .amend_room_picture(&portal.id, |picture| picture.url = Some("mxc://a/b".into()))
            .unwrap();
        portal
    };
    let ends = with_everything("r", room_id!("!r:example.org"), true);
    let one = count(&store) - before;
    assert!(one > 15, "{one}");
    let stays = with_everything("rr", room_id!("!rr:example.org"), true);
    assert_eq!(count(&store), before + 2 * one);
    let further = with_everything("r", room_id!("!further:example.org"), false);
    let all = before + 3 * one;
    assert_eq!(count(&store), all);
    assert_eq!(
        store.portals_of(&ends.rid).unwrap(),
        [ends.clone(), further.clone()]
    );
    for ends in [further, ends.clone()] {
        end_of(&store, &ends);
        assert_eq!(store.portal(&stays.id).unwrap(), Some(stays.clone()));
        let is_last = ends.id.is_own();
        let own = PortalId::own(&ends.rid);
        assert_eq!(store.puppets_in_room(&own, 9).unwrap().is_empty(), is_last);
        assert_eq!(
            count(&store),
            if is_last {
                before + one
            } else {
                before + 2 * one
            }
        );
    }
    let kept = store.message(&stays.id, &RocketMessageId::new("m2"));
    assert!(kept.unwrap().is_some());
    let is_there = |room: &str| store.file_link(&format!("link {room}")).unwrap().is_some();
    assert!(is_there("!rr:example.org"));
    assert!(!is_there("!r:example.org") && !is_there("!further:example.org"));
}

fn end_of(store: &Store, ends: &Portal) {
    let ending = Ending {
        portal: ends.clone(),
        reason: Reason::RoomDeleted,
        begun: 1,
        stage: Stage::Closed,
        told_matrix: false,
        told_rocketchat: false,
    };
    let change = store.change().ending(&ending);
    change.no_portal(ends).commit().unwrap();
    let found = store.ending_of_room(&ends.room_id).unwrap();
    assert_eq!(found.as_ref(), Some(&ending));
    store.forget_portal(&ending).unwrap();
    let left = store.db.iter().count();
    store.forget_portal(&ending).unwrap();
    assert_eq!(store.db.iter().count(), left);
    assert_eq!(store.endings(), []);
}

#[test]
fn a_store_that_knew_one_portal_for_a_room_reads_on_and_is_written_alike() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let (portal, message) = (portal(), message("m1", "$e"));
    // As programs wrote them that had no ids of portals.
    let old_portal = r#"{"v":1,"r":{"rid":"GENERAL","room_id":"!room:example.org","kind":"channel","name":"general","since":0}}"#;
    store.db.insert(b"pGENERAL\0", old_portal).unwrap();
    store
        .db
        .insert(b"r!room:example.org\0", r#"{"v":1,"r":"GENERAL"}"#)
        .unwrap();
    store
        .change()
        .message(&message)
        .cursor(&portal.id, 7)
        .commit()
        .unwrap();
    assert!(store.db.contains_key(b"mGENERAL\0m1\0").unwrap());
    assert!(store.db.contains_key(b"cGENERAL\0").unwrap());
    let reference = store.db.get(b"e!room:example.org\0$e\0").unwrap().unwrap();
    assert_eq!(&*reference, br#"{"v":1,"r":{"rid":"GENERAL","id":"m1"}}"#);
    assert_eq!(store.portals(), std::slice::from_ref(&portal));
    assert_eq!(
        store.portal_of_room(&portal.room_id).unwrap(),
        Some(portal.clone())
    );
    assert_eq!(portal.id, PortalId::own(&portal.rid));
    store.change().portal(&portal).commit().unwrap();
    assert_eq!(
        &*store.db.get(b"pGENERAL\0").unwrap().unwrap(),
        old_portal.as_bytes()
    );
    let written = store.db.get(b"mGENERAL\0m1\0").unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&written).contains("further"));
}

#[test]
fn the_portals_of_a_room_have_each_their_own_messages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let own = portal();
    let room = room_id!("!further:example.org");
    let further = Portal {
        id: PortalId::further(&own.rid, room),
        room_id: room.to_owned(),
        plumbed: true,
        ..own.clone()
    };
    let similar = Portal::own(
        RocketRoomId::new("GENERAL2"),
        room_id!("!two:example.org").to_owned(),
        PortalKind::Group,
        "two".into(),
        0,
    );
    let change = store.change().portal(&own).portal(&further);
    change.portal(&similar).commit().unwrap();
    let portals = store.portals_of(&own.rid).unwrap();
    assert_eq!(portals, [own.clone(), further.clone()]);
    assert_eq!(store.portal_of_room(room).unwrap(), Some(further.clone()));
    let id = RocketMessageId::new("m1");
    let said = |portal: &Portal, event: &str, origin| {
        let event = OwnedEventId::try_from(event).unwrap();
        let sender = user_id!("@alice:example.org").to_owned();
        Message::new(portal, id.clone(), vec![event], sender, origin)
    };
    let (one, other) = (
        said(&own, "$1", Origin::Matrix),
        said(&further, "$2", Origin::RocketChat),
    );
    store
        .change()
        .message(&one)
        .message(&other)
        .commit()
        .unwrap();
    assert_eq!(store.message(&own.id, &id).unwrap(), Some(one));
    assert_eq!(
        store.message(&further.id, &id).unwrap(),
        Some(other.clone())
    );
    assert_eq!(
        store.message_of_event(room, event_id!("$2")).unwrap(),
        Some(other)
    );
}
