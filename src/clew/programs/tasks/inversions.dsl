task inversions (xs: list) -> int
about     How many pairs stand there with the larger element first.
ensures   0 <= result
example   [1, -2] -> 1
example   [-6, 3, -2, -7, 7, -2] -> 6
example   [-6, -7, -5, 8, 2, 2] -> 3
example   [8, -4, 6] -> 2
example   [-1, 5, -5, 1, -7, 9, -6] -> 12
reference sum (map (\x -> count (\y -> y < at x xs) (drop x xs)) (range (length xs)))
