task count_between (low: int, high: int, xs: list) -> int
about     How many elements are from low to high.
ensures   0 <= result && result <= length xs
example   0, 5, [7, -3, 4, 5, 0] -> 3
example   -2, 2, [-9, 9, 1, 0] -> 2
example   3, 1, [1, 2, 3] -> 0
example   1, 6, [] -> 0
example   -4, 9, [-7, 2, -1, -4, 5, 10] -> 4
reference count (\x -> low <= x && x <= high) xs
