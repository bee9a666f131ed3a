"""What `cico bench` prints: a table, what does not fit into it, and the JSON object."""

from collections.abc import Mapping
from typing import Any


def finish(title: str, report: Mapping[str, Any], as_json: bool) -> None:
    """The table for people, then the JSON object."""
    from rich.table import Table

    from cico_platform.cli.output import console, emit, say

    machine = report["machine"]
    title = f"{title}: {machine.get('gpu') or machine['processor']}, {machine['threads']} threads"
    table = Table(title=title, box=None, padding=(0, 1))
    for heading in ("", "unit"):
        table.add_column(heading, no_wrap=True)
    for heading in ("plain", "ours", "ratio", "extra MiB", "apart", "cosine"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report["rows"]:
        memory, apart = row.get("memory_mib", {}), row.get("difference", {})
        table.add_row(
            row["name"],
            row.get("ours", row.get("plain", {})).get("unit", ""),
            *(f"{row[side]['median']:.4g}" if side in row else "-" for side in ("plain", "ours")),
            f"{row['ratio']:.2f}" if "ratio" in row else "-",
            "/".join(f"{memory[side]:.0f}" if side in memory else "-" for side in ("plain", "ours")),
            f"{apart['max_abs']:.1g}" if apart else "-",
            f"{apart['cosine']:.6f}" if apart else "-",
        )
    console.print(table)
    for row in report["rows"]:
        for side, reason in row.get("skipped", {}).items():
            say(f"  {row['name']}, {side}: {reason}")
        if "retrieval" in row:
            labels, found = row["labels"], row["retrieval"]
            say(
                f"  {row['name']}: the same best class in {labels['agreement']}% of the {labels['kept']} "
                f"windows above the mining threshold; R@1 {found['t2v_R@1']} / {found['v2t_R@1']} "
                f"({found['change']['t2v_R@1']:+} / {found['change']['v2t_R@1']:+})"
            )
        if "search" in row:
            found = row["search"]
            say(
                f"  {row['name']}: {found['candidates']} candidates, recall@10 {found['recall@10']:.3f} "
                f"({found['exact_queries']} queries), p50 {found['ours_p50_ms']} ms, "
                f"p99 {found['ours_p99_ms']} ms (exhaustive: {found['plain_p50_ms']} and "
                f"{found['plain_p99_ms']}); {found['disk_mib']} MiB on disk, built in "
                f"{found['build_seconds']} s, ready in {found['ready_s']} s"
                + (f"; {found['bytes_per_search']} bytes a search" if "bytes_per_search" in found else "")
            )
        for size in row.get("sizes", ()):
            for side in ("plain", "ours"):
                if told := size[side]:
                    figures = ", ".join(f"{name} {value:g}" for name, value in told.items())
                    say(f"  {row['name']}, {size['clips']} clips, {side}: {figures}")
        if "roofline" in row:
            line = row["roofline"]
            say(
                f"  {row['name']}: {line['ours']['median']:.3g} s, {line['times_bare_products']:.2f} times "
                f"the bare products of all padded tokens ({line['machine_gflops']:.0f} GFLOP/s here)"
            )
    for way in report.get("first_stages", ()):
        shares = ", ".join(f"{share:.3f} in {count}" for count, share in way["kept"].items())
        say(f"  candidates by {way['name']} ({way['width']} numbers a clip): {shares}")
    for kept in report.get("storages", ()):
        say(
            f"  tokens kept as {kept['name']}: R@1 {kept['R@1']:.3f}, recall@10 {kept['recall@10']:.3f}, "
            f"p50 {kept['p50_ms']} ms, {kept['disk_mib']} MiB"
        )
    if report["quick"]:
        say("  a quick run: the sizes are small, the ratios mean little")
    emit(as_json, dict(report))
