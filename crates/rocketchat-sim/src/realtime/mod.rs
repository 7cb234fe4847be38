//! The socket at `/websocket`: one reading and one writing task for each connection. Frames of one
//! connection are handled in order; a slow method delays the later ones (facts 7.1).

pub mod ddp;
pub mod events;
pub mod hub;
pub mod methods;
mod room_methods;
pub mod streams;

use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use actix_ws::{AggregatedMessage, CloseCode, CloseReason, Item, Session};
use tokio::sync::{Notify, mpsc};

use crate::server::Shared;
use hub::Out;

/// Largest message a client may send, in bytes.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

/// Upgrades a request and starts the two tasks.
pub async fn open(
    request: HttpRequest,
    body: web::Payload,
    shared: web::Data<Shared>,
) -> Result<HttpResponse, actix_web::Error> {
    let (response, session, stream) = actix_ws::handle(&request, body)?;
    let stream = stream
        .max_frame_size(MAX_MESSAGE)
        .aggregate_continuations()
        .max_continuation_size(MAX_MESSAGE);
    let (out, queue) = mpsc::unbounded_channel();
    let ended = Arc::new(Notify::new());
    let id = shared.lock().hub.add(out, Arc::clone(&ended));
    actix_web::rt::spawn(write(session, queue));
    actix_web::rt::spawn(read(id, stream, ended, shared));
    Ok(response)
}

async fn write(mut session: Session, mut queue: mpsc::UnboundedReceiver<Out>) {
    while let Some(out) = queue.recv().await {
        let sent = match out {
            Out::Text(text, due) => {
                if let Some(due) = due {
                    tokio::time::sleep_until(due.into()).await;
                }
                session.text(text).await
            }
            Out::Binary(bytes) => session.binary(bytes).await,
            Out::Half(text) => session.continuation(Item::FirstText(text.into())).await,
            Out::Close(code) => {
                let reason = CloseReason {
                    code: CloseCode::from(code),
                    description: Some("Normal closure".to_owned()),
                };
                // Nothing is left to do when the client was faster.
                let _ = session.close(Some(reason)).await;
                return;
            }
            Out::Drop => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn read(
    id: u64,
    mut stream: actix_ws::AggregatedMessageStream,
    ended: Arc<Notify>,
    shared: web::Data<Shared>,
) {
    let heartbeat = Duration::from_millis(shared.lock().options.heartbeat_ms.max(1));
    let mut asked = false;
    loop {
        let message = tokio::select! {
            message = stream.recv() => message,
            () = ended.notified() => break,
            () = tokio::time::sleep(heartbeat) => {
                let mut state = shared.lock();
                if asked {
                    state.hub.push(id, Out::Close(1000));
                    break;
                }
                if state.hub.socket(id).is_some_and(|socket| !socket.session.is_empty()) {
                    state.hub.reply(id, &serde_json::json!({ "msg": "ping" }));
                    asked = true;
                }
                continue;
            }
        };
        match message {
            Some(Ok(AggregatedMessage::Text(text))) => {
                asked = false;
                ddp::handle(&shared, id, &text).await;
            }
            Some(Ok(AggregatedMessage::Close(_))) => {
                shared.lock().hub.push(id, Out::Close(1000));
                break;
            }
            Some(Ok(_)) => asked = false,
            Some(Err(error)) => {
                tracing::debug!(%error, id, "a socket broke");
                break;
            }
            None => break,
        }
    }
    let mut state = shared.lock();
    state.hub.push(id, Out::Drop);
    if let Some(uid) = state.hub.remove(id)
        && !state.hub.has_user(&uid)
    {
        state.set_status(&uid, "offline", None, None);
    }
    state.journal.flush();
}
