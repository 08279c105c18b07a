# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
"""What the command line does, one file a command; nothing is imported here, so that `monai-kd list` starts at once."""

from __future__ import annotations
