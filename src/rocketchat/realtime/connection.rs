//! One socket, from opening to the login; after that it only sends and receives.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error as WsError};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message as WsMessage, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};
use url::Url;

use super::frame::{self, Frame};
use crate::rocketchat::error::Error;
use crate::rocketchat::ids::RocketUserId;
use crate::rocketchat::rest::Credentials;
use crate::secret::Secret;

/// Something that came through the socket.
#[derive(Debug)]
pub(super) enum Received {
    /// A frame of text, or of bytes that are text.
    Text(Utf8Bytes),
    /// Bytes that are no text.
    Bytes,
    /// A sign of life below the protocol.
    Alive,
}

/// Why a socket is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gone {
    pub reason: String,
    /// It ended over a frame that may have been a message.
    pub oversize: bool,
}

impl Gone {
    pub fn because(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            oversize: false,
        }
    }

    fn from_ws(error: &WsError) -> Self {
        match error {
            WsError::Capacity(CapacityError::MessageTooLong { .. }) => Self {
                reason: "a frame larger than is accepted".to_owned(),
                oversize: true,
            },
            WsError::ConnectionClosed | WsError::AlreadyClosed => Self::because("closed"),
            WsError::Io(_) => Self::because("the connection was lost"),
            WsError::Tls(_) => Self::because("TLS failed"),
            WsError::Http(response) => Self::because(format!(
                "no WebSocket there: status {}",
                response.status().as_u16()
            )),
            WsError::Utf8(_) => Self::because("a text frame that is no text"),
            _ => Self::because("the WebSocket protocol was broken"),
        }
    }

    pub fn into_error(self, maybe_done: bool) -> Error {
        Error::Transport {
            maybe_done,
            what: "the realtime connection was lost",
        }
    }
}

/// Why there is no login.
#[derive(Debug)]
pub(super) enum LoginFailure {
    Gone(Gone),
    Refused(Error),
}

impl From<Gone> for LoginFailure {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

/// An open socket.
pub(super) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    send_timeout: Duration,
}

/// Where the socket of a server is.
fn address(base: &Url) -> Option<Url> {
    let scheme = match base.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return None,
    };
    let mut url = base.clone();
    url.set_scheme(scheme).ok()?;
    url.set_query(None);
    url.set_fragment(None);
    url.path_segments_mut()
        .ok()?
        .pop_if_empty()
        .push("websocket");
    Some(url)
}

impl Socket {
    /// Opens a socket. Frames larger than `max_frame` bytes will end it; what cannot be
    /// sent within `send_timeout` does too.
    pub async fn open(base: &Url, max_frame: usize, send_timeout: Duration) -> Result<Self, Gone> {
        let url = address(base).ok_or_else(|| Gone::because("no address of a web server"))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(max_frame))
            .max_frame_size(Some(max_frame));
        let opening = connect_async_with_config(url.as_str(), Some(config), true);
        match timeout(send_timeout, opening).await {
            Ok(Ok((stream, _))) => Ok(Self {
                stream,
                send_timeout,
            }),
            Ok(Err(error)) => Err(Gone::from_ws(&error)),
            Err(_) => Err(Gone::because("no connection in time")),
        }
    }

    pub async fn send(&mut self, frame: &Value) -> Result<(), Gone> {
        let sending = self.stream.send(WsMessage::text(frame.to_string()));
        match timeout(self.send_timeout, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Gone::from_ws(&error)),
            Err(_) => Err(Gone::because("nothing can be sent")),
        }
    }

    /// The next frame. May be dropped while waiting without losing one.
    pub async fn receive(&mut self) -> Result<Received, Gone> {
        match self.stream.next().await {
            None => Err(Gone::because("closed")),
            Some(Err(error)) => Err(Gone::from_ws(&error)),
            Some(Ok(WsMessage::Text(text))) => Ok(Received::Text(text)),
            Some(Ok(WsMessage::Binary(bytes))) => Ok(text_of(bytes)),
            Some(Ok(WsMessage::Close(close))) => Err(Gone::because(match close {
                Some(close) => format!("closed by the server ({})", u16::from(close.code)),
                None => "closed by the server".to_owned(),
            })),
            Some(Ok(_)) => Ok(Received::Alive),
        }
    }

    /// Says goodbye, without waiting for more than a moment.
    pub async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }

    /// Introduces itself and calls `login`; returns the method's result.
    pub async fn login(&mut self, params: Value) -> Result<Value, LoginFailure> {
        const ID: &str = "login";
        self.send(&frame::connect()).await?;
        loop {
            let Received::Text(text) = self.receive().await? else {
                continue;
            };
            // What cannot be read here was sent to nobody yet: nothing is subscribed.
            let Ok(frame) = Frame::parse(&text) else {
                continue;
            };
            match frame {
                Frame::Connected => {
                    let call = frame::method(ID, "login", vec![params.clone()]);
                    self.send(&call).await?;
                }
                Frame::Failed => {
                    return Err(Gone::because("another version of the protocol").into());
                }
                Frame::Ping(id) => self.send(&frame::pong(id)).await?,
                Frame::Result { id, outcome } if id == ID => {
                    return outcome.map_err(LoginFailure::Refused);
                }
                _ => {}
            }
        }
    }
}

fn text_of(bytes: Bytes) -> Received {
    Utf8Bytes::try_from(bytes).map_or(Received::Bytes, Received::Text)
}

/// The parameters of a login by token.
pub(super) fn by_token(token: &Secret) -> Value {
    json!({ "resume": token.expose() })
}

/// The account and token that a login gave.
pub(super) fn credentials(result: &Value) -> Option<Credentials> {
    let user_id = RocketUserId::parse(result["id"].as_str()?).ok()?;
    let token = result["token"].as_str().filter(|token| !token.is_empty())?;
    Some(Credentials {
        user_id,
        token: Secret::new(token),
    })
}

/// Login failures that another try with the same token cannot mend.
pub(super) fn token_is_refused(error: &Error) -> bool {
    match error {
        Error::TwoFactor { .. } | Error::Unauthorized { .. } => true,
        error => matches!(
            error.code(),
            Some(
                "403"
                    | "401"
                    | "Unauthorized"
                    | "error-user-is-not-activated"
                    | "error-app-user-is-not-allowed-to-login"
            )
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_socket_is_beside_the_pages() {
        let socket = |base: &str| address(&base.parse().unwrap()).unwrap().to_string();
        assert_eq!(
            socket("http://chat.example:3000"),
            "ws://chat.example:3000/websocket"
        );
        assert_eq!(
            socket("https://example.org/chat/"),
            "wss://example.org/chat/websocket"
        );
        assert_eq!(
            socket("https://example.org/chat"),
            "wss://example.org/chat/websocket"
        );
        assert!(address(&"ftp://example.org".parse().unwrap()).is_none());
    }
}
