//! Many people at once, and what they must find on both sides whatever happens
//! meanwhile: every message exactly once, each sender's in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use testbed::{MatrixUser, RocketUser, World};
use tokio::task::JoinSet;

/// How long a whole conversation may take to arrive.
const LONG: Duration = Duration::from_secs(300);

/// People on both sides of `#general`.
pub struct Conversation {
    pub on_matrix: Vec<MatrixUser>,
    pub on_rocket: Vec<RocketUser>,
    pub room: String,
    pub channel: String,
    sent: Arc<AtomicUsize>,
}

impl Conversation {
    /// Brings so many people of each side into `#general`.
    pub async fn of(world: &World, people: usize) -> Result<Self> {
        let mut on_matrix = Vec::new();
        let mut on_rocket = Vec::new();
        let mut room = String::new();
        let mut channel = String::new();
        for number in 0..people {
            let user = world.matrix_user(&format!("m{number}")).await?;
            room = user.join(&world.alias("general")).await?;
            on_matrix.push(user);
            let user = world.rocket_user(&format!("r{number}")).await?;
            channel = user.join_channel("general").await?;
            on_rocket.push(user);
        }
        Ok(Self {
            on_matrix,
            on_rocket,
            room,
            channel,
            sent: Arc::default(),
        })
    }

    /// How many messages have been sent so far, on both sides together.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    /// Everybody says so many lines, all at once, each waiting for the server to
    /// have taken one before saying the next. Servers that are away are asked
    /// again, as a person's client does.
    pub fn talk(&self, lines: usize) -> JoinSet<Result<()>> {
        let mut talking = JoinSet::new();
        for user in self.on_matrix.clone() {
            let (room, sent) = (self.room.clone(), Arc::clone(&self.sent));
            talking.spawn(async move {
                for line in 0..lines {
                    say_on_matrix(&user, &room, &line_of(user.localpart(), line)).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        for user in self.on_rocket.clone() {
            let (channel, sent) = (self.channel.clone(), Arc::clone(&self.sent));
            talking.spawn(async move {
                for line in 0..lines {
                    say_on_rocket(&user, &channel, &line_of(&user.username, line)).await?;
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            });
        }
        talking
    }

    /// Waits until so many messages have been sent.
    pub async fn wait_until_sent(&self, messages: usize) -> Result<()> {
        testbed::eventually(
            &format!("{messages} messages to be sent"),
            LONG,
            async || Ok((self.sent() >= messages).then_some(())),
        )
        .await
    }

    /// Holds both sides against the promise: every line of everybody exactly once,
    /// each person's in order.
    pub async fn check(&self, lines: usize) -> Result<()> {
        let total = lines * (self.on_matrix.len() + self.on_rocket.len());
        self.on_matrix[0]
            .wait_until_within(
                LONG,
                &self.room,
                &format!("all {total} messages on Matrix"),
                |events| {
                    let texts = events.iter().filter(|event| event.is_message());
                    (texts.count() >= total).then_some(())
                },
            )
            .await?;
        self.on_rocket[0]
            .wait_until_within(
                LONG,
                &self.channel,
                &format!("all {total} messages on Rocket.Chat"),
                |messages| {
                    (messages
                        .iter()
                        .filter(|message| message.is_written())
                        .count()
                        >= total)
                        .then_some(())
                },
            )
            .await?;
        let people: Vec<String> = self
            .on_matrix
            .iter()
            .map(|user| user.localpart().to_owned())
            .chain(self.on_rocket.iter().map(|user| user.username.clone()))
            .collect();
        let on_matrix = self.on_matrix[0].room_texts(&self.room).await?;
        let on_rocket = self.on_rocket[0].room_texts(&self.channel).await?;
        exactly_once_and_in_order("Matrix", &on_matrix, &people, lines)?;
        exactly_once_and_in_order("Rocket.Chat", &on_rocket, &people, lines)
    }
}

/// Waits for everybody to have spoken.
pub async fn finished(mut talking: JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = talking.join_next().await {
        ended??;
    }
    Ok(())
}

fn line_of(person: &str, line: usize) -> String {
    format!("{person} says line {line}")
}

async fn say_on_matrix(user: &MatrixUser, room: &str, text: &str) -> Result<()> {
    let what = format!("the homeserver to take {text:?}");
    // One transaction id for all tries, as clients do.
    let path = format!(
        "/_matrix/client/v3/rooms/{room}/send/m.room.message/{}",
        text.replace(' ', "-")
    );
    let content = serde_json::json!({ "msgtype": "m.text", "body": text });
    until_taken(&what, || async {
        let answer = user.request("PUT", &path, Some(&content)).await?;
        match answer.status {
            200 => Ok(()),
            other => bail!("status {other}: {}", answer.body),
        }
    })
    .await
}

async fn say_on_rocket(user: &RocketUser, channel: &str, text: &str) -> Result<()> {
    let what = format!("Rocket.Chat to take {text:?}");
    // An id of the sender's choosing makes the try repeatable.
    let message = serde_json::json!({
        "message": { "_id": text.replace(' ', "-"), "rid": channel, "msg": text },
    });
    until_taken(&what, || async {
        let answer = user
            .request("POST", "/api/v1/chat.sendMessage", Some(&message))
            .await?;
        let taken_before = answer.body["error"]
            .as_str()
            .is_some_and(|text| text.contains("'starred'"));
        match answer.status {
            200 => Ok(()),
            400 if taken_before => Ok(()),
            other => bail!("status {other}: {}", answer.body),
        }
    })
    .await
}

/// Tries until the server takes it.
async fn until_taken<F, Fut>(what: &str, attempt: F) -> Result<()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let began = Instant::now();
    loop {
        let Err(error) = attempt().await else {
            return Ok(());
        };
        if began.elapsed() > LONG {
            return Err(error.context(format!("waited for {what}")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn exactly_once_and_in_order(
    side: &str,
    texts: &[String],
    people: &[String],
    lines: usize,
) -> Result<()> {
    let mut said: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for text in texts {
        let (person, line) = text
            .split_once(" says line ")
            .with_context(|| format!("on {side} there is {text:?}, which nobody said"))?;
        said.entry(person).or_default().push(line.parse()?);
    }
    let expected: Vec<usize> = (0..lines).collect();
    for person in people {
        let found = said.remove(person.as_str()).unwrap_or_default();
        if found != expected {
            bail!(
                "on {side}, {person} said {found:?} instead of 0 to {}",
                lines - 1
            );
        }
    }
    match said.into_keys().next() {
        Some(stranger) => bail!("on {side}, {stranger} spoke, who does not exist"),
        None => Ok(()),
    }
}

/// More than 500 messages each way at once, from eight senders a side.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_messages_both_ways_arrive_once_and_in_order() -> Result<()> {
    let world = crate::world_with_general().await?;
    let conversation = Conversation::of(&world, 8).await?;
    finished(conversation.talk(63)).await?;
    conversation.check(63).await
}
