"""Training inside compression: fine-tuning, distillation, other heads on known backbones."""
