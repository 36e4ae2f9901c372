"""Files for retrieval: all captions of the test photographs, and the numbers of those of each."""

import flickr8k_tables


def test_numbers_of_the_right_captions_skip_empty_ones(tmp_path):
    flickr8k_tables.write_retrieval(tmp_path, [["a dog", "", "dogs"], ["a cat"]])
    assert (tmp_path / "captions.txt").read_text() == "a dog\ndogs\na cat\n"
    assert (tmp_path / "right.txt").read_text() == "1 2\n3\n"
