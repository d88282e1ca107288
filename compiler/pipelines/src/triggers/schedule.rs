//! Schedules of EventBridge: `cron(…)` with six fields, `rate(…)`, `at(…)`.

/// The problem of a schedule, and the fix.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ScheduleProblem {
    pub(crate) what: String,
    pub(crate) help: String,
}

fn wrong<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, ScheduleProblem> {
    Err(ScheduleProblem {
        what: what.into(),
        help: help.into(),
    })
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Checks a schedule against the grammar of EventBridge.
pub(crate) fn check(schedule: &str) -> Result<(), ScheduleProblem> {
    let inside = |name: &str| schedule.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(fields) = inside("cron") {
        cron(fields)
    } else if let Some(rate) = inside("rate") {
        check_rate(rate)
    } else if let Some(time) = inside("at") {
        check_at(time)
    } else {
        wrong(
            format!("`{schedule}` is not a valid schedule"),
            "write `cron(0 2 * * ? *)`, `rate(1 hour)` or `at(2027-01-01T00:00:00)`",
        )
    }
}

fn check_rate(rate: &str) -> Result<(), ScheduleProblem> {
    let Some((number, unit)) = rate.split_once(' ') else {
        return wrong(
            format!("`rate({rate})` is not a valid rate"),
            "write a number and a unit: `rate(5 minutes)`",
        );
    };
    let Ok(number) = number.parse::<u32>() else {
        return wrong(
            format!("`{number}` is not a number"),
            "write a number and a unit: `rate(5 minutes)`",
        );
    };
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    if !matches!(singular, "minute" | "hour" | "day") {
        return wrong(
            format!("`{unit}` is not a valid unit of a rate"),
            "use `minutes`, `hours` or `days`",
        );
    }
    match number {
        0 => wrong("a rate must be at least 1", format!("write `rate(1 {singular})`")),
        1 if unit != singular => wrong(
            format!("the unit after 1 must be `{singular}`"),
            format!("write `rate(1 {singular})`"),
        ),
        2.. if unit == singular => wrong(
            format!("the unit after {number} must be `{singular}s`"),
            format!("write `rate({number} {singular}s)`"),
        ),
        _ => Ok(()),
    }
}

/// Checks the time that a step waits for: a date, a time, and a UTC offset.
pub(crate) fn check_time(time: &str) -> Result<(), ScheduleProblem> {
    const EXAMPLE: &str = "write `2027-01-01T00:00:00Z`";
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let zone = |text: &str| {
        let hours = text
            .split_once(':')
            .filter(|(hour, minute)| digits(hour) && digits(minute) && (hour.len(), minute.len()) == (2, 2));
        hours.is_some_and(|(hour, minute)| hour < "24" && minute < "60")
    };
    let offset = time
        .get(19..)
        .and_then(|rest| rest.find(['+', '-']))
        .map(|at| at + 19);
    let clock = match (time.strip_suffix('Z'), offset) {
        (Some(clock), _) => Some(clock),
        (None, Some(at)) if zone(&time[at + 1..]) => Some(&time[..at]),
        (None, _) => None,
    };
    let (clock, fraction) = match clock.map(|clock| clock.split_once('.')) {
        Some(Some((clock, fraction))) => (Some(clock), digits(fraction)),
        _ => (clock, true),
    };
    match clock {
        Some(clock) if fraction && clock.len() == 19 => check_clock(clock, time, EXAMPLE),
        _ => wrong(format!("`{time}` is not a valid time"), EXAMPLE),
    }
}

fn check_at(time: &str) -> Result<(), ScheduleProblem> {
    check_clock(time, time, "write `at(2027-01-01T00:00:00)`")
}

/// Checks a date and a time, which are a part of `time`.
fn check_clock(clock: &str, time: &str, example: &str) -> Result<(), ScheduleProblem> {
    let form = || wrong(format!("`{time}` is not a valid time"), example);
    let Some((date, clock)) = clock.split_once('T') else {
        return form();
    };
    let numbers = |text: &str, separator: char| -> Option<Vec<u32>> {
        text.split(separator).map(|part| part.parse().ok()).collect()
    };
    let (Some(date), Some(clock)) = (numbers(date, '-'), numbers(clock, ':')) else {
        return form();
    };
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), clock.as_slice()) else {
        return form();
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    if (1..=days).contains(day) && *hour < 24 && *minute < 60 && *second < 60 {
        Ok(())
    } else {
        wrong(format!("the time `{time}` does not exist"), example)
    }
}

fn cron(text: &str) -> Result<(), ScheduleProblem> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday, year] = fields.as_slice() else {
        return wrong(
            format!("a cron schedule must have 6 fields, found {}", fields.len()),
            match fields.as_slice() {
                [minute, hour, day, month, weekday] => {
                    let (day, weekday) = if *weekday == "*" {
                        (*day, "?")
                    } else {
                        ("?", *weekday)
                    };
                    format!(
                        "add the year as the last field: `cron({minute} {hour} {day} {month} {weekday} *)`"
                    )
                }
                _ => "write minute, hour, day of month, month, day of week and year: `cron(0 2 * * ? *)`"
                    .to_owned(),
            },
        );
    };
    match (*day == "?", *weekday == "?") {
        (true, true) => {
            return wrong(
                "day of month and day of week cannot both be `?`",
                "write `*` for one of them",
            );
        }
        (false, false) => {
            let help = if *weekday == "*" {
                format!("write `cron({minute} {hour} {day} {month} ? {year})`")
            } else if *day == "*" {
                format!("write `cron({minute} {hour} ? {month} {weekday} {year})`")
            } else {
                "write `?` for one of them".to_owned()
            };
            return wrong("day of month or day of week must be `?`", help);
        }
        _ => {}
    }
    field("minute", minute, 0, 59, &[], "")?;
    field("hour", hour, 0, 23, &[], "")?;
    if *day != "?" {
        field("day of month", day, 1, 31, &[], "LW")?;
    }
    field("month", month, 1, 12, &MONTHS, "")?;
    if *weekday != "?" {
        field("day of week", weekday, 1, 7, &DAYS, "L#")?;
    }
    field("year", year, 1970, 2199, &[], "")
}

/// Checks one field: a list of `*`, `5`, `1-5`, `*/10`, `2/3`, names, and the special characters of the field.
fn field(
    what: &str,
    text: &str,
    least: u32,
    most: u32,
    names: &[&str],
    special: &str,
) -> Result<(), ScheduleProblem> {
    let value = |word: &str| -> Option<u32> {
        let named = names.iter().position(|name| name.eq_ignore_ascii_case(word));
        match named {
            Some(at) => u32::try_from(at + 1).ok(),
            None => word.parse().ok().filter(|number| (least..=most).contains(number)),
        }
    };
    let range = |text: &str| -> bool {
        match text.split_once('-') {
            Some((from, to)) => matches!((value(from), value(to)), (Some(from), Some(to)) if from <= to),
            None => text == "*" || value(text).is_some(),
        }
    };
    let part = |text: &str| -> bool {
        if special.contains('L')
            && (text == "L" || text.strip_suffix('L').is_some_and(|day| value(day).is_some()))
        {
            return true;
        }
        if special.contains('W')
            && (text == "LW" || text.strip_suffix('W').is_some_and(|day| value(day).is_some()))
        {
            return true;
        }
        if special.contains('#')
            && let Some((day, week)) = text.split_once('#')
        {
            return value(day).is_some() && matches!(week.parse(), Ok(1..=5u32));
        }
        match text.split_once('/') {
            Some((start, step)) => {
                range(start) && step.parse::<u32>().is_ok_and(|step| step > 0 && step <= most)
            }
            None => range(text),
        }
    };
    match text.split(',').find(|text| !part(text)) {
        None => Ok(()),
        Some(bad) => wrong(
            format!("`{bad}` is not a valid {what}"),
            match names {
                [] => format!("write {least} to {most}, `*`, a range `{least}-{most}` or steps `*/5`"),
                [first, .., last] => format!("write {least} to {most}, or `{first}` to `{last}`"),
                [_] => String::new(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_valid_schedules() {
        for text in [
            "cron(0 2 * * ? *)",
            "cron(0/15 8-17 ? * MON-FRI *)",
            "cron(0 10 ? * 6L 2026-2030)",
            "cron(0 10 ? * 3#2 *)",
            "cron(0 10 LW * ? *)",
            "cron(0 10 15W * ? *)",
            "cron(0 10 L JAN,JUL ? *)",
            "rate(1 minute)",
            "rate(5 minutes)",
            "at(2028-02-29T23:59:59)",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn rejects_invalid_schedules() {
        for (text, what) in [
            ("0 2 * * *", "`0 2 * * *` is not a valid schedule"),
            ("cron(0 2 * * *)", "a cron schedule must have 6 fields, found 5"),
            ("cron(0 2 * * * *)", "day of month or day of week must be `?`"),
            (
                "cron(0 2 ? * ? *)",
                "day of month and day of week cannot both be `?`",
            ),
            ("cron(60 2 * * ? *)", "`60` is not a valid minute"),
            ("cron(0 24 * * ? *)", "`24` is not a valid hour"),
            ("cron(0 2 0 * ? *)", "`0` is not a valid day of month"),
            ("cron(0 2 * 13 ? *)", "`13` is not a valid month"),
            ("cron(0 2 ? * MON-FIR *)", "`MON-FIR` is not a valid day of week"),
            ("cron(0 2 * * ? 1969)", "`1969` is not a valid year"),
            ("rate(1 minutes)", "the unit after 1 must be `minute`"),
            ("rate(5 minute)", "the unit after 5 must be `minutes`"),
            ("rate(0 minutes)", "a rate must be at least 1"),
            ("rate(5 weeks)", "`weeks` is not a valid unit of a rate"),
            (
                "at(2027-02-29T00:00:00)",
                "the time `2027-02-29T00:00:00` does not exist",
            ),
            ("at(tomorrow)", "`tomorrow` is not a valid time"),
        ] {
            assert_eq!(check(text).unwrap_err().what, what, "{text}");
        }
        assert_eq!(
            check("cron(0 2 * * *)").unwrap_err().help,
            "add the year as the last field: `cron(0 2 * * ? *)`"
        );
    }
}
