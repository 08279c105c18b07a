# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

__all__ = ["MISSING", "decimal", "interval", "p_value", "quantity", "signed"]

MISSING = "–"


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a score: three digits, "undefined" for nan, a dash for what was not recorded.

    Example::

        >>> from monai_kd.report.text import decimal
        >>> decimal(0.73149), decimal(float("nan")), decimal(None)
        ('0.731', 'undefined', '–')
    """
    if value is None:
        return MISSING
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 3) -> str:
    """Write a difference with its sign; what rounds to zero has none.

    Example::

        >>> from monai_kd.report.text import signed
        >>> signed(0.1194), signed(-0.02), signed(-0.0001)
        ('+0.119', '−0.020', '0.000')
    """
    if math.isnan(value):
        return "undefined"
    return f"{value:+.{digits}f}".replace("-", "−") if round(value, digits) else f"{0:.{digits}f}"


def interval(low: float, high: float, write=decimal) -> str:
    """Write an interval, or say that there is none.

    Example::

        >>> from monai_kd.report.text import interval, signed
        >>> interval(0.05, 0.19), interval(-0.05, 0.19, signed), interval(float("nan"), float("nan"))
        ('0.050 to 0.190', '−0.050 to +0.190', 'no interval')
    """
    return "no interval" if math.isnan(low) or math.isnan(high) else f"{write(low)} to {write(high)}"


def p_value(value: float) -> str:
    """Write a p-value: three digits, and no smaller than they can tell.

    Example::

        >>> from monai_kd.report.text import p_value
        >>> p_value(0.0421), p_value(1e-9)
        ('p = 0.042', 'p < 0.001')
    """
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def quantity(value: float | None, unit: str = "") -> str:
    """Write a count with three significant digits and k, M, G or T.

    Example::

        >>> from monai_kd.report.text import quantity
        >>> quantity(24_137), quantity(1_230_000, "FLOPs"), quantity(12.3, "s"), quantity(None)
        ('24.1 k', '1.23 MFLOPs', '12.3 s', '–')
    """
    if value is None:
        return MISSING
    power = 0
    while power < 4 and float(f"{value:.3g}") >= 1000:
        value, power = value / 1000, power + 1
    number = f"{value:.0f}" if power == 0 and value == int(value) else f"{float(f'{value:.3g}'):g}"
    return f"{number} {' kMGT'[power].strip()}{unit}".strip()
