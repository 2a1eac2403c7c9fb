//! Amounts of resources: `500m`, `1.5Gi`, `1e3`.
//!
//! Kept exactly, in units of 10^-9 (the finest Kubernetes keeps; finer amounts round away from zero). Amounts too
//! large for that are capped, far above any real resource.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

const NANO: i128 = 1_000_000_000;
/// Above this many 10^-9 units amounts are capped: the largest that any arithmetic here can still scale.
const CAP: i128 = i128::MAX / 4096;
const BINARY: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// An amount and the family of suffixes it was written with.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

/// Why a text is not a quantity, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not a number followed by a suffix.
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Form,
    /// The number cannot be read.
    #[error("unable to parse numeric part of quantity")]
    Number,
    /// An unknown suffix.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

// === impl Quantity ===

impl Quantity {
    /// Zero.
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::Decimal };

    /// Reads a quantity.
    ///
    /// # Errors
    /// When the text has not the form, or its suffix is unknown.
    pub fn parse(text: &str) -> Result<Quantity, ParseError> {
        let (negative, digits) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            Some(_) => (false, text),
            None => return Err(ParseError::Form),
        };
        let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
        let (number, suffix) = digits.split_at(end);
        check_form(number, suffix)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let (base, exponent, mut format) = suffix_of(suffix)?;
        let nanos = scale(whole, fraction, base, exponent);
        if format == Format::Binary && (1..NANO).contains(&nanos) {
            format = Format::Decimal;
        }
        Ok(Quantity { nanos: if negative { -nanos } else { nanos }, format })
    }

    /// From a JSON string or number, as Kubernetes decodes it.
    ///
    /// # Errors
    /// As [`Quantity::parse`]; any other JSON value has not the form.
    pub fn from_value(value: &Value) -> Result<Quantity, ParseError> {
        match value {
            Value::String(text) => Quantity::parse(text),
            Value::Number(number) => Quantity::parse(&number.to_string()),
            _ => Err(ParseError::Form),
        }
    }

    /// So many whole units, printed with decimal suffixes.
    pub fn units(value: i64) -> Quantity {
        Quantity { nanos: i128::from(value) * NANO, format: Format::Decimal }
    }

    /// So many bytes, printed with binary suffixes.
    pub fn bytes(value: i64) -> Quantity {
        Quantity { nanos: i128::from(value) * NANO, format: Format::Binary }
    }

    /// So many thousandths, printed with decimal suffixes.
    pub fn millis(value: i64) -> Quantity {
        Quantity { nanos: i128::from(value) * (NANO / 1000), format: Format::Decimal }
    }

    /// The amount in whole units (bytes for memory and storage), rounded up, capped at 64 bits.
    pub fn value(&self) -> i64 {
        narrow(ceil(self.nanos, NANO))
    }

    /// The amount in thousandths (millicores for cpu), rounded up, capped at 64 bits.
    pub fn milli_value(&self) -> i64 {
        narrow(ceil(self.nanos, NANO / 1000))
    }

    /// Whether the amount is zero.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    pub fn sign(&self) -> i32 {
        match self.nanos.cmp(&0) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        }
    }

    /// Whether the amount has no fraction of a unit.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANO == 0
    }

    /// The sum, with the suffixes of the left (of the right if the left is zero).
    #[must_use]
    pub fn plus(self, other: Quantity) -> Quantity {
        let format = if self.is_zero() { other.format } else { self.format };
        Quantity { nanos: (self.nanos + other.nanos).clamp(-CAP, CAP), format }
    }

    /// The difference, with the suffixes of the left.
    #[must_use]
    pub fn minus(self, other: Quantity) -> Quantity {
        self.plus(Quantity { nanos: -other.nanos, format: self.format })
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

/// The canonical form: no fraction, the largest suffix that keeps every digit.
impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let binary = self.format == Format::Binary && self.is_whole() && self.nanos.abs() >= 1024 * NANO;
        if binary {
            let (value, power) = reduce(self.nanos / NANO, 1024, BINARY.len() - 1);
            return write!(f, "{value}{}", BINARY[power]);
        }
        let (value, power) = reduce(self.nanos, 1000, DECIMAL.len() - 1);
        if self.format == Format::Exponent && power != 3 {
            let exponent = i32::try_from(power).unwrap_or(0) * 3 - 9;
            return write!(f, "{value}e{exponent}");
        }
        write!(f, "{value}{}", DECIMAL[power])
    }
}

impl std::str::FromStr for Quantity {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Quantity, ParseError> {
        Quantity::parse(text)
    }
}

/// Divides by `base` while nothing is lost, at most `limit` times.
fn reduce(mut value: i128, base: i128, limit: usize) -> (i128, usize) {
    let mut power = 0;
    while power < limit && value % base == 0 {
        value /= base;
        power += 1;
    }
    (value, power)
}

fn check_form(number: &str, suffix: &str) -> Result<(), ParseError> {
    let letters = suffix.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
    let signless = letters.strip_prefix(['-', '+']).unwrap_or(letters);
    if number.is_empty() || !signless.chars().all(|c| c.is_ascii_digit()) {
        return Err(ParseError::Form);
    }
    let dots = number.matches('.').count();
    if dots > 1 {
        return Err(ParseError::Form);
    }
    if number == "." { Err(ParseError::Number) } else { Ok(()) }
}

/// Base, exponent and family of a suffix.
fn suffix_of(suffix: &str) -> Result<(u8, i32, Format), ParseError> {
    let position =
        |table: &[&str]| table.iter().position(|s| *s == suffix).and_then(|p| i32::try_from(p).ok());
    if let Some(place) = position(&DECIMAL) {
        return Ok((10, place * 3 - 9, Format::Decimal));
    }
    if let Some(place) = position(&BINARY) {
        return Ok((2, place * 10, Format::Binary));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(ParseError::Suffix)?;
    let exponent = exponent.parse().map_err(|_| ParseError::Suffix)?;
    Ok((10, exponent, Format::Exponent))
}

/// The number in 10^-9 units, rounded away from zero and capped.
fn scale(whole: &str, fraction: &str, base: u8, exponent: i32) -> i128 {
    let mut digits = 0_i128;
    let mut places = 0_i32;
    for (index, digit) in whole.bytes().chain(fraction.bytes()).enumerate() {
        if digits > CAP / 10 {
            break; // digits past the cap change nothing that can be kept
        }
        digits = digits * 10 + i128::from(digit - b'0');
        if index >= whole.len() {
            places += 1;
        }
    }
    let (power, factor) = match base {
        2 => (9 - places, 1_i128 << exponent),
        _ => (9 - places + exponent, 1),
    };
    let scaled = digits.checked_mul(factor).unwrap_or(CAP);
    shift(scaled, power)
}

/// `value * 10^power`, rounded up, capped.
fn shift(value: i128, power: i32) -> i128 {
    if value == 0 {
        return 0;
    }
    let ten = 10_i128.checked_pow(power.unsigned_abs());
    match (ten, power >= 0) {
        (Some(ten), true) => value.checked_mul(ten).unwrap_or(CAP).min(CAP),
        (None, true) => CAP,
        (Some(ten), false) => ceil(value, ten),
        (None, false) => 1,
    }
}

/// Division rounding away from zero, as Kubernetes rounds quantities up.
fn ceil(value: i128, by: i128) -> i128 {
    let quotient = value / by;
    if value % by == 0 { quotient } else { quotient + value.signum() }
}

fn narrow(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value > 0 { i64::MAX } else { i64::MIN })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn canonical(text: &str) -> String {
        Quantity::parse(text).map_or_else(|e| e.to_string(), |q| q.to_string())
    }

    /// The table is that of apimachinery's quantity tests.
    #[test]
    fn canonical_forms_are_kubernetes_own() {
        let cases = [
            ("0", "0"),
            ("0Ki", "0"),
            ("1", "1"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("100000", "100k"),
            ("1024Ki", "1Mi"),
            ("1.5Gi", "1536Mi"),
            ("1000Ki", "1000Ki"),
            ("512", "512"),
            ("1e3", "1e3"),
            ("1E3", "1e3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("100Mi", "100Mi"),
            ("0.001Ki", "1024m"),
            ("1.1Ki", "1126400m"),
            ("500Ei", "500Ei"),
            ("-1Ki", "-1Ki"),
            ("0.1n", "1n"),
            (".5", "500m"),
            ("1.", "1"),
            ("100Ki", "100Ki"),
            ("512Ki", "512Ki"),
        ];
        for (text, want) in cases {
            assert_eq!(canonical(text), want, "{text}");
        }
    }

    #[test]
    fn bad_forms_are_refused() {
        for text in ["", "Ki", "1.2.3", "1 Gi", "--1", "1Mi5x", "abc"] {
            assert_eq!(Quantity::parse(text), Err(ParseError::Form), "{text}");
        }
        for text in ["1Kii", "1GB", "1mi", "1ee3", "1e"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_convert_rounding_up() {
        assert_eq!(Quantity::parse("1.5Gi").unwrap().value(), 1_610_612_736);
        assert_eq!(Quantity::parse("250m").unwrap().milli_value(), 250);
        assert_eq!(Quantity::parse("1m").unwrap().value(), 1);
        assert_eq!(Quantity::parse("1e40").unwrap().value(), i64::MAX);
        assert!(Quantity::parse("1Gi").unwrap() > Quantity::parse("1G").unwrap());
        assert_eq!(Quantity::from_value(&serde_json::json!(2)).unwrap().to_string(), "2");
    }

    proptest! {
        #[test]
        fn printing_keeps_the_amount(value in -1_000_000_000_000_i64..1_000_000_000_000, suffix in 0_usize..16) {
            let suffixes = ["", "n", "u", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "e-3"];
            let parsed = Quantity::parse(&format!("{value}{}", suffixes[suffix])).unwrap();
            let again = Quantity::parse(&parsed.to_string()).unwrap();
            prop_assert_eq!(parsed, again);
            prop_assert_eq!(parsed.to_string(), again.to_string());
        }

        #[test]
        fn any_text_parses_or_is_refused_without_a_panic(text in "[-+0-9.eEinumkKMGTP]{0,24}") {
            let _ = Quantity::parse(&text).map(|q| (q.to_string(), q.value(), q.milli_value()));
        }
    }
}
