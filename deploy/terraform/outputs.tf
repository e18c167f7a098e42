output "head_address" {
  value = aws_instance.head.private_ip
}

output "group" {
  value       = aws_autoscaling_group.workers.name
  description = "MILLPOND_GROUP of the scaler's hooks."
}
