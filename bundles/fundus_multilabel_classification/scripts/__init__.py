# Copyright (c) monai_kd contributors
# SPDX-License-Identifier: Apache-2.0
