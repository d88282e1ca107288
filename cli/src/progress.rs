//! Shows the progress of an apply: bars on a terminal, lines in a log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use terrace_artifact::ArtifactId;
use terrace_deployer::{Event, StepName};

use crate::console::{Console, Tone};

/// Shows the events of an apply.
pub(crate) struct Progress {
    console: Console,
    bars: Option<Mutex<ProgressBars>>,
}

/// One progress bar for all steps, and one line for each running step.
struct ProgressBars {
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<ArtifactId, ProgressBar>,
}

impl Progress {
    /// Creates progress bars on a terminal. Otherwise, each event becomes a line.
    pub(crate) fn new(console: Console) -> Progress {
        let bars = console.is_interactive().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let total =
                all.add(ProgressBar::new(0).with_style(style("{bar:30} {pos}/{len} {elapsed} {msg}")));
            Mutex::new(ProgressBars {
                all,
                total,
                running: BTreeMap::new(),
            })
        });
        Progress { console, bars }
    }

    /// Shows one event.
    pub(crate) fn tell(&self, event: &Event) {
        let line = self.line(event);
        match &self.bars {
            None => line.into_iter().for_each(|line| self.console.line(&line)),
            Some(bars) => bars
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .tell(event, line),
        }
    }

    /// Removes the bars, so that later messages begin on an empty line.
    pub(crate) fn end(&self) {
        if let Some(bars) = &self.bars {
            let bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
            bars.total.finish_and_clear();
            let _ = bars.all.clear();
        }
    }

    /// Returns the permanent line of an event. If there are bars, they show the events that only report waiting, and the result is `None`.
    fn line(&self, event: &Event) -> Option<String> {
        let paint = |tone, text: &str| self.console.paint(tone, text);
        let has_bars = self.bars.is_some();
        let line = match event {
            Event::Identified { targets } => format!("checked: {}", targets.join(", ")),
            Event::WaitingForLock { left, .. } if left.as_secs() == 0 => return None,
            Event::WaitingForLock { holder, left } => {
                // Rounded up, because Terrace checks the lock once a second.
                let seconds = left.as_secs_f64().ceil();
                format!(
                    "waiting for the lock, held by {holder}; it expires in {seconds} s if the holder does not renew it"
                )
            }
            Event::Recorded { .. } => return None,
            Event::ApprovesNothing { what } => format!("{} {what}", paint(Tone::Warning, "warning:")),
            Event::Restoring { what } => format!("recovering from an interrupted apply: {what}"),
            Event::Begun { release, steps } => {
                format!("release {release}: {steps} {}", plural(*steps, "step"))
            }
            // A log contains completed and waiting steps. The start of a step adds no information.
            Event::Started { .. } => return None,
            Event::Waiting { .. } if has_bars => return None,
            Event::Waiting { step, why, elapsed } => {
                format!(
                    "  waiting for {}: {} ({})",
                    step.subject,
                    first_line(why),
                    took(*elapsed)
                )
            }
            Event::Retrying { step, failure, after } => {
                format!("  {step}: {}; retrying in {}", failure.message, took(*after))
            }
            Event::Done { step, elapsed } => {
                format!("  {} {step} ({})", paint(Tone::Good, "done"), took(*elapsed))
            }
            Event::Failed { step, failure } => {
                format!("  {} {step}: {}", paint(Tone::Error, "failed"), failure.message)
            }
            Event::Unsettled { step, failure } => {
                format!(
                    "  {} {step}: {}",
                    paint(Tone::Warning, "not ready"),
                    failure.message
                )
            }
            // The report at the end lists the skipped steps.
            Event::Skipped { .. } => return None,
            Event::Stopping => {
                "stopping: no new steps start, and Terrace does not wait for running steps; press Ctrl-C again to exit at once"
                    .to_owned()
            }
        };
        Some(line)
    }
}

impl ProgressBars {
    fn tell(&mut self, event: &Event, line: Option<String>) {
        if let Some(line) = line {
            let _ = self.all.println(line);
        }
        match event {
            // The release has no steps, but Terrace still waits for changes of an earlier run.
            Event::Begun { steps: 0, .. } => self.total.set_style(style("{elapsed} {msg}")),
            Event::Begun { steps, .. } => {
                self.total.set_length(*steps as u64);
                self.total.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Started { step } => {
                let _ = self.bar(step);
            }
            Event::Waiting { step, why, .. } => {
                // The reason has its own line, because a narrow terminal would cut it off.
                let bar = self.bar(step);
                bar.set_style(style("  {spinner} {prefix} {elapsed}\n      {wide_msg}"));
                bar.set_prefix(step.subject.to_string());
                bar.set_message(first_line(why).to_owned());
            }
            Event::Done { step, .. } | Event::Unsettled { step, .. } | Event::Failed { step, .. } => {
                if let Some(bar) = self.running.remove(&step.artifact) {
                    bar.finish_and_clear();
                }
                self.total.inc(1);
            }
            Event::Stopping => self.total.set_message("stopping"),
            Event::Identified { .. }
            | Event::Recorded { .. }
            | Event::WaitingForLock { .. }
            | Event::ApprovesNothing { .. }
            | Event::Restoring { .. }
            | Event::Retrying { .. }
            | Event::Skipped { .. } => {}
        }
    }

    fn bar(&mut self, step: &StepName) -> ProgressBar {
        let bar = self.running.entry(step.artifact.clone()).or_insert_with(|| {
            let bar = self
                .all
                .add(ProgressBar::new_spinner().with_style(style("  {spinner} {wide_msg} {elapsed}")));
            bar.set_message(step.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.clone()
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Returns the noun in the singular or the plural.
pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 {
        what.to_owned()
    } else {
        format!("{what}s")
    }
}

/// Formats a duration with the precision that matters: `0.4 s`, `12 s`, `3 min 5 s`.
pub(crate) fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_durations_with_decreasing_precision() {
        let took = |millis| took(Duration::from_millis(millis));
        assert_eq!(
            [took(40), took(9_960), took(59_900), took(185_000)],
            ["0.0 s", "10.0 s", "59 s", "3 min 5 s"]
        );
    }
}
