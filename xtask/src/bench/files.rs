//! `cargo xtask bench-files`: a large file and many at once, each way, beside curl
//! carrying the same files between the same two servers in the same run.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use testbed::{MatrixUser, RocketUser, World, WorldOptions, binaries, synapse};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::machine::{self, Machine};
use super::meter::{Cost, metered};
use crate::progress::step;

const MEBIBYTE: u64 = 1 << 20;
/// The channel that is mirrored.
const MIRRORED: &str = "general";
/// How long a phase may take before it counts as stuck.
const PATIENCE: Duration = Duration::from_secs(900);

#[derive(Debug, Args)]
pub struct Options {
    /// Size of the large file, in MiB.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=4000))]
    large_mib: u64,
    /// How many files go at once.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=200))]
    at_once: u64,
    /// Size of each of those, in MiB.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=1000))]
    each_mib: u64,
    /// Measure debug programs, which build faster and run slower.
    #[arg(long)]
    debug: bool,
}

/// One row of the table.
struct Row {
    what: &'static str,
    way: &'static str,
    files: u64,
    mebibytes: u64,
    /// Download and upload one after the other, by curl, of all the files.
    curl: Duration,
    cost: Cost,
}

/// Who is there, and the files that go to and fro.
struct Stage {
    world: World,
    on_matrix: MatrixUser,
    on_rocket: RocketUser,
    room: String,
    rid: String,
    directory: PathBuf,
}

/// Builds, measures, prints.
pub async fn run(options: Options) -> Result<ExitCode> {
    let profile = if options.debug { "debug" } else { "release" };
    if !binaries::directory()?.ends_with(profile) {
        return super::run_as_built_for(profile).await;
    }
    if std::env::var_os(binaries::BUILT).is_none() {
        let programs = [binaries::BRIDGE, binaries::SIMULATOR];
        step("building the bridge and the simulator", async {
            binaries::build(&programs).await
        })
        .await?;
    }
    step("setting up Synapse", synapse::ensure_installed()).await?;
    let machine = machine::describe().await?;
    let stage = step("starting Synapse, the simulator and the bridge", set()).await?;
    let rows = stage.world.explain(measure(&stage, &options).await)?;
    print(&machine, profile, &rows);
    step("stopping everything", stage.world.stop()).await?;
    Ok(ExitCode::SUCCESS)
}

async fn set() -> Result<Stage> {
    let mut options = WorldOptions::new(binaries::bridge()?);
    options.channels = vec![MIRRORED.to_owned()];
    options.log = "info".to_owned();
    options.synapse_config = json!({ "max_upload_size": "5G" });
    let world = World::start(options).await?;
    world
        .change_setting("FileUpload_MaxFileSize", json!(-1))
        .await?;
    // The bridge believes what it has read of the settings for minutes.
    world.bridge.restart().await?;
    let on_matrix = world.matrix_user("mona").await?;
    let on_rocket = world.rocket_user("rita").await?;
    let room = on_matrix.join(&world.alias(MIRRORED)).await?;
    let rid = on_rocket.join_channel(MIRRORED).await?;
    // Ghost and puppet are there before anything is measured.
    on_matrix.send_text(&room, "hello from Matrix").await?;
    on_rocket.send(&rid, "hello from Rocket.Chat").await?;
    on_rocket.wait_for_text(&rid, "hello from Matrix").await?;
    on_matrix
        .wait_for_text(&room, "hello from Rocket.Chat")
        .await?;
    let directory = world.directory().join("files");
    tokio::fs::create_dir_all(&directory).await?;
    Ok(Stage {
        world,
        on_matrix,
        on_rocket,
        room,
        rid,
        directory,
    })
}

async fn measure(stage: &Stage, options: &Options) -> Result<Vec<Row>> {
    let sets = [
        ("one large file", 1, options.large_mib),
        ("many at once", options.at_once, options.each_mib),
    ];
    let mut rows = Vec::new();
    for (what, files, mebibytes) in sets {
        let path = stage.directory.join(format!("{mebibytes}.bin"));
        write_noise(&path, mebibytes * MEBIBYTE).await?;
        let to_matrix = format!("{what}, Rocket.Chat → Matrix");
        rows.push(
            step(
                &to_matrix,
                to_matrix_row(stage, what, files, mebibytes, &path),
            )
            .await?,
        );
        let to_rocket = format!("{what}, Matrix → Rocket.Chat");
        rows.push(
            step(
                &to_rocket,
                to_rocket_row(stage, what, files, mebibytes, &path),
            )
            .await?,
        );
        tokio::fs::remove_file(&path).await?;
    }
    Ok(rows)
}

async fn to_matrix_row(
    stage: &Stage,
    what: &'static str,
    files: u64,
    mebibytes: u64,
    path: &Path,
) -> Result<Row> {
    let names = names("r", files, mebibytes);
    let uploads = names.iter().map(|name| stage.give_to_rocket(path, name));
    let uploaded = try_join_all(uploads).await?;
    let copy = stage.directory.join("copy");
    let began = Instant::now();
    for file in &uploaded {
        stage.take_from_rocket(&file.link, &copy).await?;
        stage.give_to_matrix(&copy).await?;
    }
    let curl = began.elapsed();
    let (arrived, cost) = metered(&stage.world, async {
        for file in &uploaded {
            stage.confirm(&file.id).await?;
        }
        stage.files_on_matrix(&names).await
    })
    .await?;
    let mxc = arrived.first().context("no file")?;
    stage.take_from_matrix(mxc, &copy).await?;
    same(path, &copy).await?;
    tokio::fs::remove_file(&copy).await?;
    Ok(Row {
        what,
        way: "Rocket.Chat → Matrix",
        files,
        mebibytes,
        curl,
        cost,
    })
}

async fn to_rocket_row(
    stage: &Stage,
    what: &'static str,
    files: u64,
    mebibytes: u64,
    path: &Path,
) -> Result<Row> {
    let uploaded = try_join_all((0..files).map(|_| stage.give_to_matrix(path))).await?;
    let copy = stage.directory.join("copy");
    let began = Instant::now();
    for mxc in &uploaded {
        stage.take_from_matrix(mxc, &copy).await?;
        stage.give_to_rocket(&copy, "by-curl.bin").await?;
    }
    let curl = began.elapsed();
    let names = names("m", files, mebibytes);
    let (arrived, cost) = metered(&stage.world, async {
        for (mxc, name) in uploaded.iter().zip(&names) {
            let content = json!({
                "msgtype": "m.file", "body": name, "url": mxc,
                "info": { "mimetype": "application/octet-stream", "size": mebibytes * MEBIBYTE },
            });
            stage
                .on_matrix
                .send_event(&stage.room, "m.room.message", content)
                .await?;
        }
        stage.files_on_rocket(&names).await
    })
    .await?;
    let link = arrived.first().context("no file")?;
    stage.take_from_rocket(link, &copy).await?;
    same(path, &copy).await?;
    tokio::fs::remove_file(&copy).await?;
    Ok(Row {
        what,
        way: "Matrix → Rocket.Chat",
        files,
        mebibytes,
        curl,
        cost,
    })
}

fn names(way: &str, files: u64, mebibytes: u64) -> Vec<String> {
    let name = |number| format!("{way}-{mebibytes}-{number}.bin");
    (0..files).map(name).collect()
}

/// A file that lies on Rocket.Chat and is in no message yet.
struct Uploaded {
    id: String,
    link: String,
}

impl Stage {
    fn rocket_headers(&self) -> [String; 2] {
        [
            format!("X-User-Id: {}", self.on_rocket.id),
            format!("X-Auth-Token: {}", self.on_rocket.token),
        ]
    }

    fn matrix_headers(&self) -> [String; 1] {
        [format!(
            "Authorization: Bearer {}",
            self.on_matrix.access_token
        )]
    }

    async fn give_to_rocket(&self, path: &Path, name: &str) -> Result<Uploaded> {
        let path = path.display();
        let form = format!("file=@{path};filename={name};type=application/octet-stream");
        let base = self.world.rocketchat.base_url();
        let url = format!("{base}/api/v1/rooms.media/{}", self.rid);
        let answer = curl(&self.rocket_headers(), &["-F", &form, &url]).await?;
        let text = |pointer: &str| {
            let found = answer.pointer(pointer).and_then(Value::as_str);
            found
                .map(str::to_owned)
                .with_context(|| format!("no {pointer} in {answer}"))
        };
        Ok(Uploaded {
            id: text("/file/_id")?,
            link: text("/file/url")?,
        })
    }

    async fn confirm(&self, file: &str) -> Result<()> {
        let endpoint = format!("rooms.mediaConfirm/{}/{file}", self.rid);
        self.on_rocket.post(&endpoint, json!({})).await?;
        Ok(())
    }

    async fn take_from_rocket(&self, link: &str, to: &Path) -> Result<()> {
        let url = format!("{}{link}", self.world.rocketchat.base_url());
        let to = to.display().to_string();
        curl(&self.rocket_headers(), &["-o", &to, &url]).await?;
        Ok(())
    }

    async fn give_to_matrix(&self, path: &Path) -> Result<String> {
        let url = format!("{}/_matrix/media/v3/upload", self.on_matrix.homeserver());
        let path = path.display().to_string();
        let arguments = [
            "-X",
            "POST",
            "-H",
            "Content-Type: application/octet-stream",
            "-T",
            &path,
            &url,
        ];
        let answer = curl(&self.matrix_headers(), &arguments).await?;
        let uri = answer["content_uri"].as_str();
        Ok(uri
            .with_context(|| format!("no content_uri in {answer}"))?
            .to_owned())
    }

    async fn take_from_matrix(&self, mxc: &str, to: &Path) -> Result<()> {
        let id = mxc.trim_start_matches("mxc://");
        let base = self.on_matrix.homeserver();
        let url = format!("{base}/_matrix/client/v1/media/download/{id}");
        let to = to.display().to_string();
        curl(&self.matrix_headers(), &["-o", &to, &url]).await?;
        Ok(())
    }

    /// The files with these names on Matrix, when all are there.
    async fn files_on_matrix(&self, names: &[String]) -> Result<Vec<String>> {
        self.on_matrix
            .wait_until_within(PATIENCE, &self.room, "all files on Matrix", |events| {
                let files: Vec<String> = events
                    .iter()
                    .filter(|event| {
                        let content = &event.content;
                        let name = content["filename"].as_str().or(content["body"].as_str());
                        name.is_some_and(|name| names.iter().any(|wanted| wanted == name))
                    })
                    .filter_map(|event| event.content["url"].as_str().map(str::to_owned))
                    .collect();
                (files.len() >= names.len()).then_some(files)
            })
            .await
    }

    /// The files with these names on Rocket.Chat, when all are there.
    async fn files_on_rocket(&self, names: &[String]) -> Result<Vec<String>> {
        self.on_rocket
            .wait_until_within(
                PATIENCE,
                &self.rid,
                "all files on Rocket.Chat",
                |messages| {
                    let links: Vec<String> = messages
                        .iter()
                        .filter(|message| {
                            let name = message.document["file"]["name"].as_str();
                            name.is_some_and(|name| names.iter().any(|wanted| wanted == name))
                        })
                        .filter_map(|message| message.file_link().map(str::to_owned))
                        .collect();
                    (links.len() >= names.len()).then_some(links)
                },
            )
            .await
    }
}

/// Runs curl; what it printed, if that is JSON. The headers go by its standard input,
/// so that no token stands in a list of processes.
async fn curl(headers: &[String], arguments: &[&str]) -> Result<Value> {
    let mut child = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", "--config", "-"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run curl, beside which the bridge is measured")?;
    let mut input = child.stdin.take().context("curl has no input")?;
    for header in headers {
        input
            .write_all(format!("header = \"{header}\"\n").as_bytes())
            .await?;
    }
    drop(input);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "curl: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
}

/// Writes a file of noise, which nothing on the way can make smaller.
async fn write_noise(path: &Path, bytes: u64) -> Result<()> {
    let mut from = tokio::fs::File::open("/dev/urandom").await?;
    let mut to = tokio::fs::File::create(path).await?;
    tokio::io::copy(
        &mut tokio::io::AsyncReadExt::take(&mut from, bytes),
        &mut to,
    )
    .await?;
    Ok(to.flush().await?)
}

/// Fails unless the two files are the same.
async fn same(one: &Path, other: &Path) -> Result<()> {
    let compared = Command::new("cmp").arg(one).arg(other).status().await?;
    if !compared.success() {
        bail!("a file arrived damaged");
    }
    Ok(())
}

fn print(machine: &Machine, profile: &str, rows: &[Row]) {
    println!(
        "\n{profile} programs at {}, {}; Synapse {} on SQLite; {} cores, load {:.2} at the start{}.\n",
        machine.commit,
        machine.rustc,
        machine.synapse,
        machine.cores,
        machine.load,
        if machine.is_busy() { " (busy)" } else { "" },
    );
    println!(
        "| what | way | files | MiB each | bridge, s | curl, s | bridge/curl | bridge, s of processor \
         | others, cores | memory after, MiB | at most, MiB |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    for row in rows {
        let Row {
            what,
            way,
            files,
            mebibytes,
            curl,
            cost,
        } = row;
        let (took, curl) = (cost.took.as_secs_f64(), curl.as_secs_f64());
        let mib = |bytes: u64| bytes as f64 / MEBIBYTE as f64;
        println!(
            "| {what} | {way} | {files} | {mebibytes} | {took:.1} | {curl:.1} | {:.2} | {:.1} | {:.2} | {:.1} | {:.1} |",
            took / curl,
            cost.bridge,
            cost.others,
            mib(cost.memory),
            mib(cost.most_memory),
        );
    }
    println!(
        "\nBridge: from the message to the file being seen on the other side. curl: each file \
         downloaded from one server and uploaded to the other, one after the other. Every file \
         arrived; one of each row was compared byte by byte."
    );
}
