//! People on the Matrix side.

mod event;
mod files;
mod relations;
mod rooms;
mod timeline;
mod user;
mod writing;

pub use event::Event;
pub use files::media_content;
pub use timeline::Invite;
pub use user::MatrixUser;
pub use writing::{html_content, mentions, pill};
