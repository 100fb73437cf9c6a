task sum_of_multiples_of_three (n: int) -> int
about     The sum of the multiples of 3 below n.
requires  0 <= n && n <= 200
ensures   result % 3 == 0
example   0 -> 0
example   4 -> 3
example   7 -> 9
example   10 -> 18
example   20 -> 63
reference sum (filter (\x -> x % 3 == 0) (range n))
