//! A key that has several names.

use serde_json::{Map, Value};

/// Moves the value of another name to `key`; two names with two values are refused.
pub(super) fn one_name(
    keys: &mut Map<String, Value>,
    key: &str,
    others: &[&str],
) -> Result<(), String> {
    for other in others {
        let Some(value) = keys.remove(*other).filter(|value| !value.is_null()) else {
            continue;
        };
        match keys.get(key) {
            Some(found) if !found.is_null() && !is_same(found, &value) => {
                return Err(format!(
                    "{key} is {found}, but {other} is {value}: correct one of them"
                ));
            }
            _ => drop(keys.insert(key.into(), value)),
        }
    }
    Ok(())
}

/// Whether two values are equal, 1e6 and 1000000 included.
pub(super) fn is_same(a: &Value, b: &Value) -> bool {
    a == b || a.as_f64().is_some_and(|number| b.as_f64() == Some(number))
}
