//! What a person needs to go on.

use super::{CHANNEL, Stage};

/// Addresses, accounts, and commands that work as they are printed.
pub(super) fn print(stage: &Stage) {
    let Stage {
        world,
        alice,
        bob,
        carol,
        dave,
        room,
        channel,
    } = stage;
    let matrix = world.synapse.base_url();
    let rocket = world.rocketchat.base_url();
    let admin = world.rocket_admin();
    let alias = world.alias(CHANNEL);

    println!("Addresses");
    println!("  Matrix homeserver   {matrix}");
    println!("  Rocket.Chat         {rocket}   (simulated; REST and realtime API, no web page)");
    println!(
        "  bridge              {}/health/ready",
        world.bridge.base_url()
    );
    println!("  logs and data       {}", world.directory().display());

    println!("\nAccounts");
    for user in [alice, bob] {
        println!("  Matrix       {:<22} {}", user.user_id, user.password);
    }
    for user in [carol, dave, admin] {
        println!("  Rocket.Chat  {:<22} {}", user.username, user.password);
    }
    println!(
        "  alice may give the bridge commands; {} is Rocket.Chat's administrator.",
        admin.username
    );

    println!("\nThe channel");
    println!("  on Matrix       {alias}   ({room})");
    println!("  on Rocket.Chat  #{CHANNEL}   ({channel})");

    println!("\nGo on with any Matrix client (homeserver {matrix}), or with curl:");
    let room_path = format!("{matrix}/_matrix/client/v3/rooms/{}", percent(room));
    let bearer = format!("-H 'Authorization: Bearer {}'", alice.access_token);
    println!("\n  # say something as alice");
    println!(
        "  curl -sS -X PUT \"{room_path}/send/m.room.message/$(date +%s%N)\" {bearer} \
         -d '{{\"msgtype\":\"m.text\",\"body\":\"Hello from curl\"}}'"
    );
    println!("\n  # see what alice sees, newest first");
    println!("  curl -sS \"{room_path}/messages?dir=b&limit=5\" {bearer}");
    let login = format!(
        "-H 'X-User-Id: {}' -H 'X-Auth-Token: {}'",
        carol.id, carol.token
    );
    println!("\n  # say something as carol");
    println!(
        "  curl -sS {rocket}/api/v1/chat.sendMessage {login} -H 'Content-Type: application/json' \
         -d '{{\"message\":{{\"rid\":\"{channel}\",\"msg\":\"Hello from curl\"}}}}'"
    );
    println!("\n  # see what carol sees, newest first");
    println!("  curl -sS \"{rocket}/api/v1/channels.history?roomId={channel}&count=5\" {login}");
    println!("\nCtrl-C stops everything.");
}

/// A room id inside an address; its sigil would make an interactive shell look
/// into its history.
fn percent(room: &str) -> String {
    room.replace('!', "%21").replace(':', "%3A")
}
