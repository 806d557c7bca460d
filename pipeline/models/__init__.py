"""Networks: one paper's network per file, all sized by settings (see `build.build_network`)."""
