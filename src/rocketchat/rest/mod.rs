//! Requests to Rocket.Chat (`/api/v1`), a file per family of endpoints.

mod answer;
mod chat;
mod client;
mod emoji;
mod login;
mod room_files;
mod rooms;
mod server;
mod users;

pub use chat::{OutgoingMessage, Sent};
pub use client::{Client, Credentials, Session};
pub use rooms::{DirectRoom, RoomOrder};
pub use server::ServerInfo;
pub use users::{NewUser, UserChanges};

#[cfg(test)]
mod tests;
