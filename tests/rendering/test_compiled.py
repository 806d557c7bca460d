from pipeline.rendering.compiled import compiled


def test_functions_that_cannot_be_kept_on_disk_are_compiled_all_the_same():
    scope = {}
    exec("def double(x):\n    return 2 * x", scope)  # has no source file to keep the result by
    assert compiled(scope["double"])(3) == 6
