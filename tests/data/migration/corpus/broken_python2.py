from ib.opt import ibConnection
print "old"
