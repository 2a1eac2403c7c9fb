//! Kubernetes quantities as whole numbers.
//!
//! Only what limits need: a value rounded up to thousandths ([`millis`]) or to units ([`units`]).

/// The quantity in thousandths, rounded up; `None` if it is not a quantity or does not fit.
pub fn millis(text: &str) -> Option<i128> {
    scaled(text, 1000)
}

/// The quantity in whole units, rounded up; `None` if it is not a quantity or does not fit.
pub fn units(text: &str) -> Option<i128> {
    scaled(text, 1)
}

/// `ceil(value * scale)`.
fn scaled(text: &str, scale: i128) -> Option<i128> {
    let split = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let (multiply, divide) = suffix_factor(suffix)?;
    let (negative, digits) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(18)];
    let mantissa: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let divide = divide.checked_mul(10_i128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    let value = mantissa.checked_mul(multiply)?.checked_mul(scale)?;
    let sign = if negative { -1 } else { 1 };
    Some(sign * ((value + divide - 1) / divide))
}

/// What a suffix multiplies and divides by.
fn suffix_factor(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => return exponent(suffix),
    })
}

/// `e3`, `E-2`.
fn exponent(suffix: &str) -> Option<(i128, i128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let factor = 10_i128.checked_pow(power.unsigned_abs().min(30))?;
    Some(if power < 0 { (1, factor) } else { (factor, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        let check = |text: &str, expect: Option<i128>| assert_eq!(millis(text), expect, "{text}");
        check("1", Some(1000));
        check("250m", Some(250));
        check("0.1", Some(100));
        check(".5", Some(500));
        check("1e3", Some(1_000_000));
        check("12E-1", Some(1200));
        check("1n", Some(1)); // Quantity.MilliValue rounds up.
        check("-1", Some(-1000));
        check("", None);
        check("Mi", None);
        check("1x", None);
        assert_eq!(units("64Mi"), Some(64 << 20));
        assert_eq!(units("1.5Gi"), Some(3 << 29));
        assert_eq!(units("100m"), Some(1));
    }
}
