//! The Matrix side: appservice listener and client. Knows nothing of Rocket.Chat nor of what is mirrored.
