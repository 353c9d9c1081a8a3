//! `datetime_now`: what time it is.

use super::Arguments;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json as value};

/// As the model is told of it.
pub(super) fn described() -> (String, Value) {
    let parameters = value!({
        "type": "object",
        "properties": {
            "timezone": {
                "type": "string",
                "description": "A name such as Europe/Berlin, or an offset such as +02:00; UTC where it is left out.",
            },
        },
    });
    let description = "Says the current date and time, with the day of the week and the time zone.";
    (description.to_owned(), parameters)
}

/// Says it in the zone that is asked for.
pub(super) fn now(arguments: &Arguments) -> Result<String, String> {
    let name = arguments.get("timezone").and_then(Value::as_str);
    let zone = zone(name.unwrap_or("UTC"))?;
    let now = Timestamp::now().to_zoned(zone);
    Ok(value!({
        "datetime": now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "weekday": now.strftime("%A").to_string(),
        "timezone": now.strftime("%Z").to_string(),
        "unix": now.timestamp().as_second(),
    })
    .to_string())
}

fn zone(name: &str) -> Result<TimeZone, String> {
    if matches!(name, "UTC" | "Z" | "") {
        return Ok(TimeZone::UTC);
    }
    let offset = |sign: i32, text: &str| {
        let (hours, minutes) = text.split_once(':').unwrap_or((text, "0"));
        let number = |digits: &str| digits.parse::<u8>().map(i32::from).ok();
        let seconds = number(hours)? * 3_600 + number(minutes)? * 60;
        let offset = jiff::tz::Offset::from_seconds(sign * seconds).ok()?;
        Some(TimeZone::fixed(offset))
    };
    let fixed = match (name.strip_prefix('+'), name.strip_prefix('-')) {
        (Some(text), _) => offset(1, text),
        (_, Some(text)) => offset(-1, text),
        _ => None,
    };
    fixed
        .or_else(|| TimeZone::get(name).ok())
        .ok_or_else(|| format!("there is no time zone {name:?}; names are as in Europe/Berlin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(zone: &str) -> Result<Value, String> {
        let arguments = [("timezone".to_owned(), value!(zone))]
            .into_iter()
            .collect();
        now(&arguments).map(|text| serde_json::from_str(&text).expect("it is JSON"))
    }

    #[test]
    fn it_is_told_in_the_zone_that_is_asked_for() {
        assert!(
            at("+02:00").expect("an offset")["datetime"]
                .as_str()
                .is_some_and(|text| text.ends_with("+02:00"))
        );
        assert!(
            at("-05:30").expect("an offset")["datetime"]
                .as_str()
                .is_some_and(|text| text.ends_with("-05:30"))
        );
        let utc: Value =
            serde_json::from_str(&now(&Arguments::new()).expect("UTC")).expect("it is JSON");
        assert_eq!(utc["timezone"], "UTC");
        assert_eq!(
            at("Europe/Berlin").expect("a name")["datetime"]
                .as_str()
                .map(str::len),
            Some(25)
        );
        for wrong in ["Nowhere/Land", "+99999999999", "+1:b", "../etc/passwd"] {
            assert!(at(wrong).expect_err(wrong).contains("time zone"));
        }
    }
}
