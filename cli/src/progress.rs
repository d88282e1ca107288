//! Tells what an apply does while it runs: bars on a terminal, lines in a log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use terrace_artifact::ArtifactId;
use terrace_deployer::{Event, StepName};

use crate::console::{Console, Tone};

/// Where the events of an apply go.
pub(crate) struct Progress {
    console: Console,
    bars: Option<Mutex<Bars>>,
}

/// One line for all steps, and one for each that runs.
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<ArtifactId, ProgressBar>,
}

impl Progress {
    /// Bars where somebody looks, lines otherwise.
    pub(crate) fn new(console: Console) -> Progress {
        let bars = console.is_interactive().then(|| {
            let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
            let total =
                all.add(ProgressBar::new(0).with_style(style("{bar:30} {pos}/{len} {elapsed} {msg}")));
            Mutex::new(Bars {
                all,
                total,
                running: BTreeMap::new(),
            })
        });
        Progress { console, bars }
    }

    /// Tells one event.
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

    /// Takes the bars away: what is said next stands on clean ground.
    pub(crate) fn end(&self) {
        if let Some(bars) = &self.bars {
            let bars = bars.lock().unwrap_or_else(PoisonError::into_inner);
            bars.total.finish_and_clear();
            let _ = bars.all.clear();
        }
    }

    /// The line an event leaves behind. What only says that something still goes on is a bar's, where there are bars.
    fn line(&self, event: &Event) -> Option<String> {
        let paint = |tone, text: &str| self.console.paint(tone, text);
        let passing = self.bars.is_some();
        let line = match event {
            Event::Identified { targets } => format!("checked: {}", targets.join(", ")),
            Event::WaitingForLock { left, .. } if left.as_secs() == 0 => return None,
            Event::WaitingForLock { holder, left } => {
                // Whole seconds: it is not looked at more often.
                let seconds = left.as_secs_f64().ceil();
                format!(
                    "waiting for the lock, held by {holder}; it expires in {seconds} s unless renewed"
                )
            }
            Event::Recorded { .. } => return None,
            Event::ApprovesNothing { what } => format!("{} {what}", paint(Tone::Warning, "warning:")),
            Event::Restoring { what } => format!("recovering from an interrupted apply: {what}"),
            Event::Begun { release, steps } => {
                format!("release {release}: {steps} {}", plural(*steps, "step"))
            }
            // A log says what is done and what is waited for; that something was begun adds nothing.
            Event::Started { .. } => return None,
            Event::Waiting { .. } if passing => return None,
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
            // They are listed at the end, once.
            Event::Skipped { .. } => return None,
            Event::Stopping => {
                "stopping: no new steps start, and Terrace does not wait for running steps; press Ctrl-C again to exit at once"
                    .to_owned()
            }
        };
        Some(line)
    }
}

impl Bars {
    fn tell(&mut self, event: &Event, line: Option<String>) {
        if let Some(line) = line {
            let _ = self.all.println(line);
        }
        match event {
            // Nothing is changed, but what an earlier run has changed is still waited for.
            Event::Begun { steps: 0, .. } => self.total.set_style(style("{elapsed} {msg}")),
            Event::Begun { steps, .. } => {
                self.total.set_length(*steps as u64);
                self.total.enable_steady_tick(Duration::from_secs(1));
            }
            Event::Started { step } => {
                let _ = self.bar(step);
            }
            Event::Waiting { step, why, .. } => {
                // On one line, a narrow terminal would show what is waited for, and not why.
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

/// A word for one or many.
pub(crate) fn plural(count: usize, what: &str) -> String {
    if count == 1 {
        what.to_owned()
    } else {
        format!("{what}s")
    }
}

/// `0.4 s`, `12 s`, `3 min 5 s`.
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
    fn times_are_told_as_long_as_they_matter() {
        let took = |millis| took(Duration::from_millis(millis));
        assert_eq!(
            [took(40), took(9_960), took(59_900), took(185_000)],
            ["0.0 s", "10.0 s", "59 s", "3 min 5 s"]
        );
    }
}
