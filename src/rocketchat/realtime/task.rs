//! The connection that comes back: the task that keeps it.

use std::collections::{HashMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::client::Options;
use super::connection::{
    Gone, LoginFailure, Received, Socket, by_token, credentials, token_is_refused,
};
use super::event::{Event, Unreadable};
use super::frame::{self, Frame};
use super::stream::Stream;
use super::subscriptions::Subscriptions;
use super::translate;
use crate::retry::Advice;
use crate::retry::Retryable as _;
use crate::rocketchat::error::Error;
use crate::rocketchat::rest::Credentials;

/// A connection that held so long was a good one: pauses start over.
const GOOD: Duration = Duration::from_secs(20);
/// A refused token is tried again after this, in case the refusal was a mistake of a
/// server in trouble. Rare enough not to look like an attack.
const TOKEN_PAUSE: Duration = Duration::from_secs(300);

/// What the owner wants.
#[derive(Debug)]
pub(super) enum Command {
    Subscribe(Stream),
    Unsubscribe(Stream),
    Call {
        method: String,
        params: Vec<Value>,
        reply: oneshot::Sender<Result<Value, Error>>,
    },
}

/// Nobody is interested any more.
struct Over;

/// Why a connection came to its end.
enum End {
    Over,
    Gone(Gone),
}

impl From<Gone> for End {
    fn from(gone: Gone) -> Self {
        Self::Gone(gone)
    }
}

impl From<Over> for End {
    fn from(_: Over) -> Self {
        Self::Over
    }
}

pub(super) struct Task {
    options: Options,
    events: mpsc::Sender<Event>,
    commands: mpsc::UnboundedReceiver<Command>,
    credentials: watch::Receiver<Credentials>,
    ready: Arc<AtomicBool>,
    subscriptions: Subscriptions,
    /// Events that found the channel full.
    outbox: VecDeque<Event>,
    calls: HashMap<String, oneshot::Sender<Result<Value, Error>>>,
    last_call: u64,
}

impl Task {
    pub fn new(
        mut options: Options,
        events: mpsc::Sender<Event>,
        commands: mpsc::UnboundedReceiver<Command>,
        credentials: watch::Receiver<Credentials>,
        ready: Arc<AtomicBool>,
    ) -> Self {
        Self {
            subscriptions: Subscriptions::new(std::mem::take(&mut options.streams)),
            options,
            events,
            commands,
            credentials,
            ready,
            outbox: VecDeque::new(),
            calls: HashMap::new(),
            last_call: 0,
        }
    }

    /// Connects again and again until nobody is interested any more.
    pub async fn run(mut self) {
        while let ControlFlow::Continue(()) = self.once().await {}
    }

    /// One connection, and the pause after it.
    async fn once(&mut self) -> ControlFlow<()> {
        let credentials = self.credentials.borrow_and_update().clone();
        let (asked, reason) = match self.connect(&credentials).await {
            Ok(socket) => {
                let since = Instant::now();
                self.subscriptions.start(credentials.user_id);
                let end = self.serve(socket).await;
                self.lost();
                let gone = match end {
                    End::Over => return ControlFlow::Break(()),
                    End::Gone(gone) => gone,
                };
                if since.elapsed() >= GOOD {
                    self.options.backoff.reset();
                }
                if gone.oversize {
                    self.tell(Event::Unreadable(Unreadable {
                        what: gone.reason.clone(),
                        maybe_message: true,
                        rid: None,
                    }));
                }
                (None, gone.reason)
            }
            Err(Connecting::Over) => return ControlFlow::Break(()),
            Err(Connecting::Failed(LoginFailure::Gone(gone))) => (None, gone.reason),
            Err(Connecting::Failed(LoginFailure::Refused(error))) if token_is_refused(&error) => {
                self.tell(Event::Unauthorized);
                return self.pause(TOKEN_PAUSE, true).await;
            }
            Err(Connecting::Failed(LoginFailure::Refused(error))) => {
                let asked = match error.advice() {
                    Advice::Retry { after, .. } => after,
                    Advice::GiveUp => None,
                };
                (asked, format!("the login failed: {error}"))
            }
        };
        tracing::debug!(reason, "the realtime connection is gone");
        self.tell(Event::Disconnected { reason });
        let pause = self.options.backoff.next_pause(asked);
        self.pause(pause, false).await
    }

    /// Opens a socket and logs in. Commands wait meanwhile, which takes two connect
    /// timeouts at most; the end of interest is noticed at once.
    async fn connect(&mut self, account: &Credentials) -> Result<Socket, Connecting> {
        let limit = self.options.connect_timeout;
        let events = self.events.clone();
        let attempt = async {
            let mut socket =
                Socket::open(&self.options.base, self.options.max_frame_bytes, limit).await?;
            match timeout(limit, socket.login(by_token(&account.token))).await {
                Err(_) => Err(Gone::because("no login in time").into()),
                Ok(Err(failure)) => Err(failure),
                // A token of another account would deliver another's events.
                Ok(Ok(result)) => match credentials(&result) {
                    Some(found) if found.user_id == account.user_id => Ok(socket),
                    Some(_) => Err(LoginFailure::Refused(Error::Unauthorized {
                        code: None,
                        text: Default::default(),
                    })),
                    None => Err(Gone::because("a login without an account").into()),
                },
            }
        };
        // Without its owner, nobody can change the token any more. Commands stay where
        // they are.
        let mut owner = self.credentials.clone();
        let no_owner = async move { while owner.changed().await.is_ok() {} };
        tokio::select! {
            outcome = attempt => outcome.map_err(Connecting::Failed),
            () = events.closed() => Err(Connecting::Over),
            () = no_owner => Err(Connecting::Over),
        }
    }

    /// Waits, delivering events and obeying commands; with `for_token` only until there
    /// is another one.
    async fn pause(&mut self, pause: Duration, for_token: bool) -> ControlFlow<()> {
        let until = Instant::now() + pause;
        loop {
            tokio::select! {
                () = sleep_until(until) => return ControlFlow::Continue(()),
                outcome = deliver(&self.events, &mut self.outbox) => {
                    if outcome.is_err() {
                        return ControlFlow::Break(());
                    }
                }
                command = self.commands.recv() => match command {
                    Some(command) => self.obey_offline(command),
                    None => return ControlFlow::Break(()),
                },
                changed = self.credentials.changed(), if for_token => {
                    return match changed {
                        Ok(()) => ControlFlow::Continue(()),
                        Err(_) => ControlFlow::Break(()),
                    };
                }
            }
        }
    }

    fn obey_offline(&mut self, command: Command) {
        match command {
            Command::Subscribe(stream) => drop(self.subscriptions.add(stream)),
            Command::Unsubscribe(stream) => drop(self.subscriptions.remove(&stream)),
            Command::Call { reply, .. } => {
                let _ = reply.send(Err(Error::Transport {
                    maybe_done: false,
                    what: "the realtime connection is not there",
                }));
            }
        }
    }

    /// Keeps a connection that is logged in until it ends.
    async fn serve(&mut self, mut socket: Socket) -> End {
        let end = loop {
            if let Err(end) = self.turn(&mut socket).await {
                break end;
            }
        };
        match end {
            End::Over => socket.close().await,
            // No goodbye to who does not listen.
            End::Gone(_) => drop(socket),
        }
        end
    }

    async fn turn(&mut self, socket: &mut Socket) -> Result<(), End> {
        let silence = self.options.silence_timeout;
        let mut heard = Instant::now();
        let mut pinged = false;
        for event in self.subscriptions.ready_if_nothing_is_open() {
            self.tell(event);
        }
        loop {
            let now = Instant::now();
            for ask in self.subscriptions.due(now) {
                let frame = frame::sub(&ask.id, ask.name, &ask.event);
                socket.send(&frame).await?;
            }
            let reading = self.outbox.is_empty();
            // What is not read cannot be missed.
            if reading && self.subscriptions.overdue(now) {
                return Err(Gone::because("a subscription was not answered").into());
            }
            let mut wake = heard + silence;
            if let Some(at) = self.subscriptions.next_time(now, reading) {
                wake = wake.min(at);
            }
            tokio::select! {
                // Commands first: they are few, and a shutdown must not wait for a
                // server that talks without pause.
                biased;
                command = self.commands.recv() => match command {
                    Some(command) => self.obey(socket, command).await?,
                    None => return Err(End::Over),
                },
                outcome = deliver(&self.events, &mut self.outbox) => outcome?,
                received = socket.receive(), if reading => {
                    heard = Instant::now();
                    pinged = false;
                    self.hear(socket, received?).await?;
                }
                () = sleep_until(wake) => {
                    let now = Instant::now();
                    if heard + silence <= now {
                        if pinged && reading {
                            return Err(Gone::because("the server has fallen silent").into());
                        }
                        socket.send(&frame::ping()).await?;
                        pinged = reading;
                        heard = now;
                    }
                }
            }
        }
    }

    async fn obey(&mut self, socket: &mut Socket, command: Command) -> Result<(), End> {
        let ended = match command {
            Command::Subscribe(stream) => self.subscriptions.add(stream),
            Command::Unsubscribe(stream) => {
                let ended = self.subscriptions.remove(&stream);
                for event in self.subscriptions.ready_if_nothing_is_open() {
                    self.tell(event);
                }
                ended
            }
            Command::Call {
                method,
                params,
                reply,
            } => {
                // A call that nobody waits for any more must not be carried out late.
                if reply.is_closed() {
                    return Ok(());
                }
                self.calls.retain(|_, reply| !reply.is_closed());
                self.last_call += 1;
                let id = format!("m{}", self.last_call);
                let call = frame::method(&id, &method, params);
                self.calls.insert(id, reply);
                socket.send(&call).await?;
                return Ok(());
            }
        };
        for id in ended {
            socket.send(&frame::unsub(&id)).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, socket: &mut Socket, received: Received) -> Result<(), End> {
        let text = match received {
            Received::Text(text) => text,
            Received::Bytes => {
                self.unreadable(Unreadable {
                    what: "a frame that is no text".to_owned(),
                    maybe_message: true,
                    rid: None,
                });
                return Ok(());
            }
            Received::Alive => return Ok(()),
        };
        match Frame::parse(&text) {
            Err(unreadable) => self.unreadable(unreadable),
            Ok(Frame::Ping(id)) => socket.send(&frame::pong(id)).await?,
            Ok(Frame::Result { id, outcome }) => {
                if let Some(reply) = self.calls.remove(&id) {
                    let _ = reply.send(outcome);
                }
            }
            Ok(Frame::Ready(ids)) => {
                for id in ids {
                    let events = self.subscriptions.ready(&id);
                    self.tell_all(events);
                }
            }
            Ok(Frame::NoSub { id, error }) => {
                let events = self.subscriptions.refused(&id, error, Instant::now());
                self.tell_all(events);
            }
            Ok(Frame::Changed { collection, fields }) => {
                match translate::event(&collection, fields) {
                    Ok(Some(event)) => self.tell(event),
                    Ok(None) => {}
                    Err(unreadable) => self.unreadable(unreadable),
                }
            }
            // One of our frames arrived spoilt. Which one is not said: a new connection
            // asks for everything again.
            Ok(Frame::Error { reason }) => {
                tracing::debug!(reason, "the server did not understand a frame");
                return Err(Gone::because("the server did not understand a frame").into());
            }
            Ok(Frame::Failed) => {
                return Err(Gone::because("another version of the protocol").into());
            }
            Ok(Frame::Connected | Frame::Pong | Frame::Other) => {}
        }
        Ok(())
    }

    fn unreadable(&mut self, unreadable: Unreadable) {
        tracing::warn!(what = unreadable.what, "a realtime frame was left out");
        self.tell(Event::Unreadable(unreadable));
    }

    fn tell_all(&mut self, events: Vec<Event>) {
        for event in events {
            self.tell(event);
        }
    }

    /// Hands an event over, or keeps it until there is room.
    fn tell(&mut self, event: Event) {
        if matches!(event, Event::Ready) {
            self.ready.store(true, Ordering::Release);
        }
        if !self.outbox.is_empty() {
            self.outbox.push_back(event);
            return;
        }
        if let Err(mpsc::error::TrySendError::Full(event)) = self.events.try_send(event) {
            self.outbox.push_back(event);
        }
    }

    /// The connection is gone: nothing is ready, no answer will come.
    fn lost(&mut self) {
        self.ready.store(false, Ordering::Release);
        self.subscriptions.stop();
        for (_, reply) in self.calls.drain() {
            let _ = reply.send(Err(Error::Transport {
                maybe_done: true,
                what: "the realtime connection was lost",
            }));
        }
    }
}

/// Why there is no connection.
enum Connecting {
    Over,
    Failed(LoginFailure),
}

impl From<LoginFailure> for Connecting {
    fn from(failure: LoginFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Hands over one waiting event; with none waiting, only notices that nobody receives.
async fn deliver(events: &mpsc::Sender<Event>, outbox: &mut VecDeque<Event>) -> Result<(), Over> {
    if outbox.is_empty() {
        events.closed().await;
        return Err(Over);
    }
    let permit = events.reserve().await.map_err(|_| Over)?;
    if let Some(event) = outbox.pop_front() {
        permit.send(event);
    }
    Ok(())
}
