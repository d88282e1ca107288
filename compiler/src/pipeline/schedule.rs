//! Schedules of EventBridge: `cron(…)` with six fields, `rate(…)`, `at(…)`.

/// What is wrong with a schedule, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    pub(crate) help: String,
}

fn wrong<T>(what: impl Into<String>, help: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong {
        what: what.into(),
        help: help.into(),
    })
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Holds a schedule against EventBridge's grammar.
pub(crate) fn check(schedule: &str) -> Result<(), Wrong> {
    let inside = |name: &str| schedule.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
    if let Some(fields) = inside("cron") {
        cron(fields)
    } else if let Some(rate) = inside("rate") {
        check_rate(rate)
    } else if let Some(time) = inside("at") {
        check_at(time)
    } else {
        wrong(
            format!("`{schedule}` is not a schedule"),
            "write `cron(0 2 * * ? *)`, `rate(1 hour)` or `at(2027-01-01T00:00:00)`",
        )
    }
}

fn check_rate(rate: &str) -> Result<(), Wrong> {
    let Some((number, unit)) = rate.split_once(' ') else {
        return wrong(
            format!("`rate({rate})` is not a rate"),
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
            format!("`{unit}` is not a unit of a rate"),
            "the units are `minutes`, `hours` and `days`",
        );
    }
    match number {
        0 => wrong("a rate is at least 1", format!("write `rate(1 {singular})`")),
        1 if unit != singular => wrong(
            format!("after 1 the unit is `{singular}`"),
            format!("write `rate(1 {singular})`"),
        ),
        2.. if unit == singular => wrong(
            format!("after {number} the unit is `{singular}s`"),
            format!("write `rate({number} {singular}s)`"),
        ),
        _ => Ok(()),
    }
}

/// Says what is wrong with a time that a step waits for: a day, a time, and how far it is from UTC.
pub(crate) fn check_time(time: &str) -> Result<(), Wrong> {
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
        _ => wrong(format!("`{time}` is not a time"), EXAMPLE),
    }
}

fn check_at(time: &str) -> Result<(), Wrong> {
    check_clock(time, time, "write `at(2027-01-01T00:00:00)`")
}

/// A day and a time, as part of `time`.
fn check_clock(clock: &str, time: &str, example: &str) -> Result<(), Wrong> {
    let form = || wrong(format!("`{time}` is not a time"), example);
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
        wrong(format!("there is no time `{time}`"), example)
    }
}

fn cron(text: &str) -> Result<(), Wrong> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday, year] = fields.as_slice() else {
        return wrong(
            format!("a cron schedule has 6 fields, this one {}", fields.len()),
            match fields.as_slice() {
                [minute, hour, day, month, weekday] => {
                    let (day, weekday) = if *weekday == "*" {
                        (*day, "?")
                    } else {
                        ("?", *weekday)
                    };
                    format!("the last field is the year: `cron({minute} {hour} {day} {month} {weekday} *)`")
                }
                _ => "minutes, hours, day of month, month, day of week, year: `cron(0 2 * * ? *)`".to_owned(),
            },
        );
    };
    match (*day == "?", *weekday == "?") {
        (true, true) => {
            return wrong(
                "both day of month and day of week are `?`",
                "exactly one of them is: write `*` for the other",
            );
        }
        (false, false) => {
            let help = if *weekday == "*" {
                format!("write `cron({minute} {hour} {day} {month} ? {year})`")
            } else if *day == "*" {
                format!("write `cron({minute} {hour} ? {month} {weekday} {year})`")
            } else {
                "give only one of them, and `?` for the other".to_owned()
            };
            return wrong("one of day of month and day of week has to be `?`", help);
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

/// One field: a list of `*`, `5`, `1-5`, `*/10`, `2/3`, names, and the special signs it takes.
fn field(what: &str, text: &str, least: u32, most: u32, names: &[&str], special: &str) -> Result<(), Wrong> {
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
            format!("`{bad}` does not fit the field {what}"),
            match names {
                [] => format!("it is {least} to {most}, `*`, a range `{least}-{most}` or steps `*/5`"),
                [first, .., last] => format!("it is {least} to {most}, or `{first}` to `{last}`"),
                [_] => String::new(),
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_that_are_right() {
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
    fn schedules_that_are_wrong() {
        for (text, what) in [
            ("0 2 * * *", "`0 2 * * *` is not a schedule"),
            ("cron(0 2 * * *)", "a cron schedule has 6 fields, this one 5"),
            (
                "cron(0 2 * * * *)",
                "one of day of month and day of week has to be `?`",
            ),
            ("cron(0 2 ? * ? *)", "both day of month and day of week are `?`"),
            ("cron(60 2 * * ? *)", "`60` does not fit the field minute"),
            ("cron(0 24 * * ? *)", "`24` does not fit the field hour"),
            ("cron(0 2 0 * ? *)", "`0` does not fit the field day of month"),
            ("cron(0 2 * 13 ? *)", "`13` does not fit the field month"),
            (
                "cron(0 2 ? * MON-FIR *)",
                "`MON-FIR` does not fit the field day of week",
            ),
            ("cron(0 2 * * ? 1969)", "`1969` does not fit the field year"),
            ("rate(1 minutes)", "after 1 the unit is `minute`"),
            ("rate(5 minute)", "after 5 the unit is `minutes`"),
            ("rate(0 minutes)", "a rate is at least 1"),
            ("rate(5 weeks)", "`weeks` is not a unit of a rate"),
            (
                "at(2027-02-29T00:00:00)",
                "there is no time `2027-02-29T00:00:00`",
            ),
            ("at(tomorrow)", "`tomorrow` is not a time"),
        ] {
            assert_eq!(check(text).unwrap_err().what, what, "{text}");
        }
        assert_eq!(
            check("cron(0 2 * * *)").unwrap_err().help,
            "the last field is the year: `cron(0 2 * * ? *)`"
        );
    }
}
