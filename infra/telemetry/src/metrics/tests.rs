use super::*;

#[test]
fn a_histogram_counts_what_is_up_to_each_bound() {
    let metrics = Metrics::default();
    let histogram = Histogram::new(&[0.5, 1.0]);
    metrics.add("size", "How big", histogram.clone());
    for value in [0.25, 0.5, 0.75, 8.0] {
        histogram.observe(value);
    }
    // Fact: a bucket holds what is less than or equal to its bound, and what the buckets before it hold.
    let want = "# HELP size How big.\n# TYPE size histogram\nsize_sum 9.5\nsize_count 4\nsize_bucket{le=\"0.5\"} 2\n\
                size_bucket{le=\"1\"} 3\nsize_bucket{le=\"+Inf\"} 4\n";
    let text = metrics.text().unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&text), sorted(want));
    assert_eq!(histogram.count(), 4);
}

#[test]
fn counters_end_with_total_and_labels_are_escaped() {
    let metrics = Metrics::default();
    let counts: Family<[(&str, &str); 1], Counter> = Family::default();
    metrics.add("asked", "How often", counts.clone());
    counts.get_or_create(&[("by", "a\"b")]).inc_by(3);
    let text = metrics.text().unwrap();
    assert!(text.contains("# TYPE asked_total counter\nasked_total{by=\"a\\\"b\"} 3\n"), "{text}");
}

#[test]
fn the_process_tells_of_itself() {
    let metrics = Metrics::default();
    metrics.add_process();
    let text = metrics.text().unwrap();
    let value = |name: &str| -> f64 {
        let line = text.lines().find(|line| line.split(' ').next() == Some(name));
        line.unwrap_or_else(|| panic!("{name}: {text}")).rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes") > 1e6);
    assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
    assert!(value("process_open_fds") >= 3.0 && value("process_max_fds") >= value("process_open_fds"));
    assert!(value("process_threads") >= 1.0 && value("process_cpu_seconds_total") >= 0.0);
    let age = jiff::Timestamp::now().as_second() as f64 - value("process_start_time_seconds");
    assert!((-2.0..3600.0).contains(&age), "{age}");
}
