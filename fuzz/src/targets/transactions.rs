//! Transactions of the homeserver.

use matrix_appservice_rocketchat::matrix::listener::read_transaction;
use serde_json::Value;

/// What is a transaction is never refused, because the homeserver would repeat it for
/// ever; each event is read or counted; what is handed on can be relied on.
pub(crate) fn check(input: &[u8]) {
    let read = read_transaction("1".to_owned(), input);
    let whole = serde_json::from_slice::<Value>(input).ok();
    let sent = whole
        .as_ref()
        .and_then(|whole| whole.as_object()?.get("events")?.as_array());
    if let Some(sent) = sent {
        match &read {
            Ok(read) => assert_eq!(read.events.len() + read.unreadable, sent.len()),
            Err(refused) => panic!("refused: {refused:?}"),
        }
    }
    for event in read.iter().flat_map(|read| &read.events) {
        let ids = [
            event.event_id.as_str(),
            event.room_id.as_str(),
            event.sender.as_str(),
        ];
        for id in ids {
            assert!(
                id.len() <= 255 && !id.chars().any(char::is_control),
                "{id:?}"
            );
        }
        let json: Value = match serde_json::from_str(event.json.get()) {
            Ok(json) => json,
            Err(error) => panic!("an event that was said to be readable: {error}"),
        };
        assert_eq!(json["event_id"], ids[0]);
        assert_eq!(json["type"], event.kind.as_str());
    }
}
