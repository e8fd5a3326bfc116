"""Who somebody is, and who may say so: certificates, assertions and their issuers' authority."""
