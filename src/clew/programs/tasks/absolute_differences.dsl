task absolute_differences (xs: list, ys: list) -> list
about     How far the elements at the same places are from each other.
ensures   all (\x -> 0 <= x) result
example   [-8, 8], [7, -6] -> [15, 14]
example   [1, 3, -1, 2, 9], [4, -1, -5, 3, 4] -> [3, 4, 4, 1, 5]
example   [-3, 1, -2, -2, -7], [-1, -4, -4] -> [2, 5, 2]
example   [-2, 4, 3], [-4, -7, 0, -4, -7] -> [2, 11, 3]
example   [-4, 3], [-8, -1, 9] -> [4, 4]
reference zip (\x y -> abs (x - y)) xs ys
