//! `health`: asks the running bridge how it is. For health checks of containers,
//! which have no other HTTP client.

use std::time::Duration;

use super::{ConfigFile, Problem, runtime, say_on_stdout};

pub(super) fn run(file: &ConfigFile) -> Result<(), Problem> {
    let config = file.load()?;
    let Some((host, port)) = config.appservice.listen.rsplit_once(':') else {
        return Err("appservice.listen has no port".into());
    };
    // An address that means "all of them" to a listener is none to a client.
    let host = match host {
        "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        other => other,
    };
    let url = format!("http://{host}:{port}/health/ready");
    let asked = runtime()?.block_on(async {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(5))
            .no_proxy()
            .build()?;
        let answer = client.get(url).send().await?;
        let status = answer.status();
        Ok::<_, reqwest::Error>((status, answer.text().await?))
    });
    let (status, body) = asked.map_err(|_| {
        format!(
            "no bridge answers at {}: is it running?",
            config.appservice.listen
        )
    })?;
    say_on_stdout(&body);
    if status.is_success() {
        Ok(())
    } else {
        Err("the bridge is not connected to both sides".into())
    }
}
