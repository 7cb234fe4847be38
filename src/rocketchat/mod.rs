//! The Rocket.Chat side: REST client, realtime client, documents. Knows nothing of Matrix nor of what is mirrored.
